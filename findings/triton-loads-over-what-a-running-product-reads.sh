#!/usr/bin/env bash
# Triton on Hopper: the load of a block that a product and a sum read overwrites the block under the running product.
#
# Versions: triton 3.6.0 and 3.8.0, compiled for sm_90; no GPU is needed to see it in the compiled code.
# Guess:    in a loop with three stages a load may be used by anything in the body; the compiler keeps a
#           buffer for each load that is under way or still read, and waits where it must.
# What is:  products on Hopper run on while the loop goes on: the wait that follows leaves one of them
#           running. A load that only products read therefore has as many buffers as there are stages.
#           Where something else reads it too, here a sum over its rows, it has one buffer less, and
#           the wait is the same. The copy that is started next in the same turn goes into the very
#           buffer that the running product reads. Whether it arrives before the product has read is
#           a matter of time, so tests may pass; rows that are masked out are filled at once, without
#           a load.
# Seen:     2 stages: a product alone: other buffer; a product and a sum: same buffer, 1 running
#           3 stages: a product alone: other buffer; a product and a sum: same buffer, 1 running
#           4 stages: a product alone: other buffer; a product and a sum: same buffer, 1 running
# Matters:  a kernel of this kind ended 34 of 150 repetitions of an epoch with other weights on an H100
#           (docs/performance.md), and 0 of 300 since nothing else reads what its products read. This
#           script launches nothing: it shows the order of copies and products, not how often it matters.
# Source:   run here: the number of buffers (local_alloc), the products that a wait leaves (pendings), and
#           the copy after it, in the intermediate code ("ttgir"). The docstring of tl.range says
#           that num_stages turns of the loop are in flight at once, and nothing of who may read what.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/products.py" <<'PY'
import re

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

D, BLOCK = 64, 64


@triton.jit
def gradients(
    x, y, out, sums, rows, SUM: tl.constexpr, D: tl.constexpr, BLOCK: tl.constexpr, STAGES: tl.constexpr
):
    t, d = tl.arange(0, BLOCK), tl.arange(0, D)
    total, column = tl.zeros((D, D), tl.float32), tl.zeros((D,), tl.float32)
    for start in tl.range(0, rows, BLOCK, num_stages=STAGES):
        place, here = (start + t)[:, None] * D + d[None, :], (start + t < rows)[:, None]
        a = tl.load(x + place, mask=here, other=0.0)
        b = tl.load(y + place, mask=here, other=0.0)
        total = tl.dot(tl.trans(a), b, total)
        if SUM:
            column += tl.sum(a.to(tl.float32), 0)
    tl.store(out + d[:, None] * D + d[None, :], total)
    tl.store(sums + d, column)


def compiled(stages, summed):
    fixed = {"SUM": summed, "D": D, "BLOCK": BLOCK, "STAGES": stages}
    kinds = {"x": "*bf16", "y": "*bf16", "out": "*fp32", "sums": "*fp32", "rows": "i32"}
    source = ASTSource(
        gradients,
        kinds | dict.fromkeys(fixed, "constexpr"),
        fixed,
        attrs={(n,): [["tt.divisibility", 16]] for n in range(len(kinds))},
    )
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4}).asm["ttgir"]


def said(stages, summed):
    code = compiled(stages, summed)
    buffers = min(int(n) for n in re.findall(rf"local_alloc.*memdesc<(\d+)x{BLOCK}x{D}", code))
    loop = code[code.index("scf.for") : code.index("scf.yield")]
    wait = re.search(r"warp_group_dot_wait.*pendings = (\d+)", loop)
    assert loop.index("async_copy_global_to_local") > wait.start()  # the next load starts after it
    ahead = stages - 1  # turns between the copy of a block and its use
    if ahead % buffers:
        return "other buffer"
    return f"same buffer, {wait[1]} running"


for stages in (2, 3, 4):
    print(f"{stages} stages: a product alone: {said(stages, False)}; a product and a sum: {said(stages, True)}")
PY
for version in 3.6.0 3.8.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "triton==$version"
  seen=$(TRITON_CACHE_DIR="$folder/cache-$version" "$folder/$version/bin/python" "$folder/products.py")
  echo "$version:"
  echo "$seen"
  test "$seen" = "2 stages: a product alone: other buffer; a product and a sum: same buffer, 1 running
3 stages: a product alone: other buffer; a product and a sum: same buffer, 1 running
4 stages: a product alone: other buffer; a product and a sum: same buffer, 1 running"
done
echo "as described"
