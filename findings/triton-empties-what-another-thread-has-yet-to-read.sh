#!/usr/bin/env bash
# Triton: a thread may write over what another thread of its program has yet to read.
#
# Versions: triton 3.6.0 and 3.8.0, compiled for sm_90; no GPU is needed to see it in the compiled code.
# Guess:    a kernel is written for a whole tile: it loads it, uses it, and then sets the same places to
#           a constant. The order in the program is the order in memory, as in the interpreter.
# What is:  the elements of a tile are shared out among threads for each load and each store by itself,
#           by what is stored: here the load goes with bytes that are made of it, 8 neighbours a thread,
#           and the store of the constant with 4. So a thread sets places that another one reads, and
#           nothing makes it wait: no value goes from one to the other, and no barrier is put between.
#           With `tl.debug_barrier()` between them all is read first.
# Seen:     load int32: 8 neighbours a thread, store uint8: 8, store int32: 4, barriers: 0
#           with tl.debug_barrier(): load int32: 8 neighbours a thread, store uint8: 8, store int32: 4, barriers: 1
# Matters:  a kernel of this kind gave a step of training other bits in 2 of 30 repetitions on an H200
#           (docs/performance.md). This script launches nothing: it shows who reads and who writes.
# Source:   run here: the layouts of each access in the intermediate code ("ttgir").
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/empties.py" <<'PY'
import re

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

WORDS = {"i32": "int32", "i8": "uint8"}


@triton.jit
def take(places, out, WAITS: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + at, tl.load(places + at).to(tl.uint8))
    if WAITS:
        tl.debug_barrier()
    tl.store(places + at, tl.full((BLOCK,), -1, tl.int32))  # they are empty again


def seen(waits):
    types = {"places": "*i32", "out": "*u8", "WAITS": "constexpr", "BLOCK": "constexpr"}
    aligned = {(place,): [["tt.divisibility", 16]] for place in (0, 1)}
    source = ASTSource(take, types, {"WAITS": waits, "BLOCK": 1024}, aligned)
    code = triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ttgir"]
    layouts = dict(re.findall(r"(#blocked\d*) = .*?sizePerThread = \[(\d+)\]", code))
    parts = [
        (kind, WORDS[of], layouts[layout])
        for kind, of, layout in re.findall(r"tt\.(load|store) .*?ptr<(\w+)>, (#blocked\d*)", code)
    ]
    words = [f"{kind} {of}: {count}" for kind, of, count in parts]
    words[0] += " neighbours a thread"
    return ", ".join([*words, f"barriers: {code.count('barrier')}"])


print(seen(False))
print("with tl.debug_barrier():", seen(True))
PY
for version in 3.6.0 3.8.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "triton==$version"
  seen=$(TRITON_CACHE_DIR="$folder/cache-$version" "$folder/$version/bin/python" "$folder/empties.py")
  echo "$version: $seen"
  lines="load int32: 8 neighbours a thread, store uint8: 8, store int32: 4, barriers:"
  test "$seen" = "$lines 0
with tl.debug_barrier(): $lines 1"
done
echo "as described"
