#!/usr/bin/env bash
# Triton: whether a process finds kernels that another compiled depends on which it asks for first.
#
# Versions: triton 3.6.0 (comes with torch 2.11) to 3.7.1; since 3.8.0 it is as guessed. Compiled for
#           sm_90, no GPU needed.
# Guess:    a compiled kernel is found by what it is made of: its source, that of the functions it calls,
#           the constants that they take from their modules, and how it is specialised. Two processes
#           that run the same file agree on it, whatever each of them launches first.
# What is:  two kernels call one function, which uses a constant of its module. The key of
#           the kernel that is asked for first leaves that constant out, the key of the other has it:
#           Triton takes over the constants of a called function, and only then computes that
#           function's key, which is when it learns of them. A process that goes through the kernels
#           the other way round finds neither, and compiles both once more. With the function's own
#           `cache_key` asked for first, keys are the same in any order.
# Seen:     3.6.0: same order: 2 of 2 found; other order: 0 of 2; the function's key first: 2 of 2
#           3.7.1: same order: 2 of 2 found; other order: 0 of 2; the function's key first: 2 of 2
#           3.8.0: same order: 2 of 2 found; other order: 2 of 2; the function's key first: 2 of 2
# Matters:  a cache that was filled ahead (in an image, by other processes, by a warm-up with other
#           settings) is missed in part, and nothing says so but the time that it takes.
# Source:   DependenciesFinder._update_hash in triton/runtime/jit.py of 3.6.0; mended by
#           triton-lang/triton#10494 (June 2026). Constants came into keys with #7348.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/kernels.py" <<'PY'
import triton
import triton.language as tl

SCALE = tl.constexpr(3)


@triton.jit
def scaled(x):
    return x * SCALE


@triton.jit
def one(out):
    tl.store(out, scaled(tl.load(out)))


@triton.jit
def other(out):
    tl.store(out, scaled(tl.load(out)) + 1)
PY
cat > "$folder/compile.py" <<'PY'
import sys

import kernels
import triton
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

found = []
knobs.compilation.listener = lambda *, cache_hit, **_: found.append(cache_hit)
for name in sys.argv[1:]:
    if name == "scaled":  # it is called by both, and compiled with them
        kernels.scaled.cache_key
        continue
    source = ASTSource(getattr(kernels, name), {"out": "*i32"}, {})
    triton.compile(source, target=GPUTarget("cuda", 90, 32))
print(f"{sum(found)} of {len(found)}")
PY
seen=""
for version in 3.6.0 3.7.1 3.8.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "triton==$version"
  ask() {
    TRITON_CACHE_DIR="$folder/$version/$1" "$folder/$version/bin/python" "$folder/compile.py" "${@:2}"
  }
  test "$(ask cache one other)" = "0 of 2"
  seen+="$version: same order: $(ask cache one other) found; other order: $(ask cache other one); "
  test "$(ask another scaled one other)" = "0 of 2"
  seen+="the function's key first: $(ask another scaled other one)"$'\n'
done
printf %s "$seen"
test "$seen" = "3.6.0: same order: 2 of 2 found; other order: 0 of 2; the function's key first: 2 of 2
3.7.1: same order: 2 of 2 found; other order: 0 of 2; the function's key first: 2 of 2
3.8.0: same order: 2 of 2 found; other order: 2 of 2; the function's key first: 2 of 2
"
echo "as described"
