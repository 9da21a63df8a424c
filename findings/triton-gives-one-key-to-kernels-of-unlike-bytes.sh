#!/usr/bin/env bash
# Triton: one key, two kernels: their bytes also depend on the folder that the source lies in.
#
# Versions: triton 3.6.0 and 3.8.0, compiled for sm_90; no GPU is needed.
# Guess:    the hash under which Triton keeps a kernel is of all that the kernel is made of: of two
#           checkouts on two machines, equal hashes mean equal bytes, so that builds can be compared,
#           signed, or kept once by their content.
# What is:  a kernel has the lines of its source for profilers, and with them the whole path of the file.
#           The hash has the source's text and the line, but not the path. So the same file in two
#           folders has one hash, and two cubins; whichever is compiled first is found by both. The
#           instructions are the same. TRITON_DISABLE_LINE_INFO=1 leaves lines out (the hash is another
#           one then), and the bytes are equal.
# Seen:     3.6.0, with lines: keys equal, cubins different, instructions equal
#           3.6.0, without: keys equal, cubins equal, instructions equal
#           3.8.0, with lines: keys equal, cubins different, instructions equal
#           3.8.0, without: keys equal, cubins equal, instructions equal
# Matters:  a cache of kernels by content keeps one a checkout; a profile of one checkout shows the lines
#           of another; a kernel that is handed on tells where its author's files lie.
# Source:   run here. JITFunction.cache_key in triton/runtime/jit.py hashes the source's text and its
#           first line, and no path; triton/compiler/code_generator.py puts the file's into each
#           operation's location.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/one" "$folder/another"
cat > "$folder/one/kernel.py" <<'PY'
import hashlib

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


@triton.jit
def double(out):
    tl.store(out, 2 * tl.load(out))


def section(elf, name):
    """The bytes of a section of a 64-bit ELF file."""
    number = lambda at, size: int.from_bytes(elf[at : at + size], "little")
    headers, each, count, names = number(0x28, 8), number(0x3A, 2), number(0x3C, 2), number(0x3E, 2)
    where = lambda n: (number(headers + n * each + 24, 8), number(headers + n * each + 32, 8))
    label = lambda n: elf[where(names)[0] + number(headers + n * each, 4) :].split(b"\0", 1)[0]
    (start, size) = next(where(n) for n in range(count) if label(n) == name)
    return elf[start : start + size]


made = triton.compile(ASTSource(double, {"out": "*i32"}, {}), target=GPUTarget("cuda", 90, 32))
cubin = made.asm["cubin"]
for part in cubin, section(cubin, b".text.double"):
    print(hashlib.sha256(part).hexdigest())
print(made.metadata.hash)
PY
cp "$folder/one/kernel.py" "$folder/another/kernel.py"
seen=""
for version in 3.6.0 3.8.0; do
  place="$folder/$version"
  python3 -m venv "$place"
  "$place/bin/pip" install --quiet --disable-pip-version-check "triton==$version"
  for lines in 0 1; do
    for source in one another; do
      TRITON_DISABLE_LINE_INFO=$lines TRITON_CACHE_DIR="$(mktemp -d -p "$folder")" \
        "$place/bin/python" "$folder/$source/kernel.py" > "$folder/$source.txt"
    done
    same() { cmp -s <(sed -n "$1p" "$folder/one.txt") <(sed -n "$1p" "$folder/another.txt") &&
      echo equal || echo different; }
    named=$([ $lines = 0 ] && echo "with lines" || echo without)
    seen+="$version, $named: keys $(same 3), cubins $(same 1), instructions $(same 2)"$'\n'
  done
done
echo -n "$seen"
test "$seen" = "3.6.0, with lines: keys equal, cubins different, instructions equal
3.6.0, without: keys equal, cubins equal, instructions equal
3.8.0, with lines: keys equal, cubins different, instructions equal
3.8.0, without: keys equal, cubins equal, instructions equal
"
echo "as described"
