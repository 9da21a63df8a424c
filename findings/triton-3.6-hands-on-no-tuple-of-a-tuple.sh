#!/usr/bin/env bash
# Triton 3.6: a tuple taken out of a constant tuple can't be handed to a device function.
#
# Versions: triton 3.6.0 (comes with torch 2.11); 3.8.0 can. Compiled for sm_90, no GPU needed.
# Guess:    SHAPES is a tl.constexpr, so SHAPES[n] is one too: nested functions take it, as the
#           kernel takes the whole.
# What is:  an element that is a number stays a constant. One that is a tuple becomes a plain Python
#           tuple of plain numbers, and the call asks them for a type: AttributeError within a
#           CompilationError. tl.constexpr(SHAPES[n]) makes it a constant again, in both versions.
# Seen:     3.6.0: handed on: 'int' object has no attribute 'type'; named: compiles
#           3.8.0: handed on: compiles; named: compiles
# Source:   run here; triton/compiler/code_generator.py of both versions.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/tuples.py" <<'PY'
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler.errors import CompilationError


@triton.jit
def row(x, SHAPE: tl.constexpr):
    return x * SHAPE[1]


@triton.jit
def handed_on(out, SHAPES: tl.constexpr):
    for n in tl.static_range(2):
        tl.store(out + n, row(n + 1, SHAPES[n]))


@triton.jit
def named(out, SHAPES: tl.constexpr):
    for n in tl.static_range(2):
        tl.store(out + n, row(n + 1, tl.constexpr(SHAPES[n])))


def tried(kernel):
    source = ASTSource(kernel, {"out": "*i32", "SHAPES": "constexpr"}, {"SHAPES": ((0, 4), (4, 8))})
    try:
        triton.compile(source, target=GPUTarget("cuda", 90, 32))
    except CompilationError as error:
        while error.__cause__ is not None:
            error = error.__cause__
        return str(error).strip().splitlines()[-1].partition('"')[2].rstrip('")')
    return "compiles"


print(f"{triton.__version__}: handed on: {tried(handed_on)}; named: {tried(named)}")
PY
seen=""
for version in 3.6.0 3.8.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "triton==$version"
  seen+=$(TRITON_CACHE_DIR="$folder/cache-$version" "$folder/$version/bin/python" "$folder/tuples.py")$'\n'
done
printf %s "$seen"
test "$seen" = "3.6.0: handed on: 'int' object has no attribute 'type'; named: compiles
3.8.0: handed on: compiles; named: compiles
"
echo "as described"
