#!/usr/bin/env bash
# torch.optim.Adam(parameters), without torch.compile anywhere, imports the whole compiler and SymPy: hundreds of modules, a second of a core.
#
# Versions: torch 2.13.0 on a CPU.
# Guess:    `import torch` leaves the compiler out on purpose, so who never compiles never waits for it.
#           Making an optimiser puts some tensors into a list.
# What is:  `Optimizer.add_param_group` is marked as something that the compiler must not look into. The
#           mark imports torch._dynamo at the first call, and that imports SymPy. So the first optimiser
#           of a process, SGD too, takes more than building a model, a loss and its gradients together.
# Seen:     after a forward and a backward pass: compiler False, SymPy False; after SGD(parameters):
#           compiler True, SymPy True, more than 500 modules more: True; more than 0.3 s of a core: True
# Matters:  every worker process of a sweep pays it, and a training of a few seconds is mostly that; a
#           thread that makes an optimiser holds the interpreter meanwhile.
# Source:   run here; torch/optim/optimizer.py (`@torch._disable_dynamo` at `add_param_group`) and
#           torch/_compile.py, which imports torch._dynamo at the first call. The documentation of
#           torch.optim says nothing of it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
seen=$("$folder/venv/bin/python" - <<'PY'
import sys
import time

import torch


def known():
    return f"compiler {'torch._dynamo' in sys.modules}, SymPy {'sympy' in sys.modules}"


layer = torch.nn.Linear(4, 1)
layer(torch.ones(8, 4)).square().mean().backward()
print(f"after a forward and a backward pass: {known()};")
before, began = len(sys.modules), time.process_time()
torch.optim.SGD(layer.parameters(), lr=0.1)
took, more = time.process_time() - began, len(sys.modules) - before
print(f"after SGD(parameters): {known()}, more than 500 modules more: {more > 500};")
print(f"more than 0.3 s of a core: {took > 0.3}")
print(f"{more} modules, {took:.2f} s here", file=sys.stderr)
PY
)
echo "$seen"
test "$seen" = "after a forward and a backward pass: compiler False, SymPy False;
after SGD(parameters): compiler True, SymPy True, more than 500 modules more: True;
more than 0.3 s of a core: True"
echo "as described"
