#!/usr/bin/env bash
# Triton: a cache folder that was moved is compiled anew, and its copy is read where it was copied from.
#
# Versions: triton 3.6.0 and 3.8.0 (3.9.0 does the same), compiled for sm_90; no GPU is needed.
# Guess:    a compiled kernel lies in a folder that is named by a hash of what it was made of. Nothing in
#           that depends on where the cache is: it can be moved, copied into an image or onto another
#           machine, and TRITON_CACHE_DIR told where it is now.
# What is:  a file of each kernel (`__grp__*.json`) lists its other files by their whole paths. A copy is
#           read from where it was made, as long as that is there. In a folder that was moved nothing is
#           found: each kernel is compiled again, and nothing says so. If the paths in those files are
#           written anew, all is found, so the rest of the cache is as good as it was.
# Seen:     where it was made: found in made
#           copied: found in made
#           moved: compiled
#           moved, with its paths written anew: found in mended
# Matters:  an image whose kernels were compiled while it was built, under another path (as another user,
#           with another home), brings them along for nothing; a copy whose origin is on a network disk
#           reads there.
# Source:   put_group and get_group in triton/runtime/cache.py; nothing is said of it where the variable is
#           described. TRITON_CACHE_MANAGER can name a class that does otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/kernel.py" <<'PY'
from pathlib import Path

import triton
import triton.language as tl
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


@triton.jit
def double(out):
    tl.store(out, 2 * tl.load(out))


def say(*, cache_hit, metadata_group, **_):
    read = {Path(path).parents[1].name for path in metadata_group.values()}
    print(f"found in {', '.join(read)}" if cache_hit else "compiled")


knobs.compilation.listener = say
triton.compile(ASTSource(double, {"out": "*i32"}, {}), target=GPUTarget("cuda", 90, 32))
PY
for version in 3.6.0 3.8.0; do
  place="$folder/$version"
  python3 -m venv "$place"
  "$place/bin/pip" install --quiet --disable-pip-version-check "triton==$version"
  look() { TRITON_CACHE_DIR="$place/$1" "$place/bin/python" "$folder/kernel.py"; }
  test "$(look made)" = "compiled"
  seen="where it was made: $(look made)"
  cp -r "$place/made" "$place/copied"
  seen+=$'\n'"copied: $(look copied)"
  cp -r "$place/made" "$place/mended"
  mv "$place/made" "$place/moved"
  seen+=$'\n'"moved: $(look moved)"
  sed -i.before "s|$place/made/|$place/mended/|g" "$place"/mended/*/__grp__*.json
  seen+=$'\n'"moved, with its paths written anew: $(look mended)"
  echo "$version:"
  echo "$seen"
  test "$seen" = "where it was made: found in made
copied: found in made
moved: compiled
moved, with its paths written anew: found in mended"
done
echo "as described"
