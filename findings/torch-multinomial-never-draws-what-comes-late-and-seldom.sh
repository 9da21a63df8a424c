#!/usr/bin/env bash
# torch.multinomial by counts: 20,000 rare items at the end of the table are never drawn, not once in four million.
#
# Versions: torch 2.13.0 on a CPU.
# Guess:    counts as weights are as good as shares: 20,000 items that were seen once each, beside
#           twenty million other interactions, get a thousandth of the draws wherever they stand.
# What is:  with replacement, the running sum of the weights is kept in the weights' own type. In float32
#           it stands still from 2^24 = 16,777,216 on when 1 is added, so what comes after has no share
#           at all. In front of the popular ones the same items are drawn as often as they should be; in
#           float64, or without replacement (another way of drawing), they are too. The limit that
#           torch tells is one of 2^24 categories, and here are 21,000. torch.cumsum of the same
#           weights is right to the unit and shows nothing.
# Seen:     of 4,000,000 draws some 3,996 should be rare; rare last: 0; rare first: as they should be;
#           float64: as they should be; cumsum 20020000
# Matters:  negatives drawn by popularity from a table ordered by counts leave out the tail of any data
#           set with more than 17 million interactions, and the loss looks fine.
# Source:   run here; aten/src/ATen/native/cpu/MultinomialKernel.cpp sums into the type of the weights.
#           The documentation says nothing of the type; pytorch/pytorch#28390 and #43115, open since 2019
#           and 2020, say it of weights of very different sizes and of very many categories.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
seen=$("$folder/venv/bin/python" - <<'PY'
import torch

DRAWS, RARE = 4_000_000, 20_000
popular, rare = torch.full((1_000,), 20_000.0), torch.ones(RARE)
expected = DRAWS * RARE / (popular.sum() + RARE).item()


def drawn(weights, start):
    generator = torch.Generator().manual_seed(0)
    found = torch.multinomial(weights, DRAWS, replacement=True, generator=generator)
    return int(((found >= start) & (found < start + RARE)).sum())


def said(count):
    return "as they should be" if abs(count - expected) < 5 * expected**0.5 else count


last = torch.cat([popular, rare])
print(
    f"of {DRAWS:,} draws some {expected:,.0f} should be rare; rare last: {said(drawn(last, 1_000))};"
    f" rare first: {said(drawn(torch.cat([rare, popular]), 0))};"
)
print(f"float64: {said(drawn(last.double(), 1_000))}; cumsum {last.cumsum(0)[-1].item():.0f}")
PY
)
echo "$seen"
test "$seen" = "of 4,000,000 draws some 3,996 should be rare; rare last: 0; rare first: as they should be;
float64: as they should be; cumsum 20020000"
echo "as described"
