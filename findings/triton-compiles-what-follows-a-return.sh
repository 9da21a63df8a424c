#!/usr/bin/env bash
# Triton compiles what follows a return, though an if on a constant decides that it is never reached.
#
# Versions: triton 3.6.0 and 3.8.0, compiled for sm_90, no GPU needed.
# Guess:    an if on a tl.constexpr is decided when it is compiled: one branch is left, and its return
#           ends a device function. So it ends it in the interpreter (TRITON_INTERPRET=1).
# What is:  the branch not taken is left out, but what stands after the if is compiled too, also where
#           it makes no sense for these types. Tests in the interpreter pass, the launch does not
#           compile. With an else, and one return, it does.
# Seen:     early return: invalid operands of type pointer<int32> and triton.language.int32; else: compiles
# Source:   run here; triton/compiler/code_generator.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/returns.py" <<'PY'
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler.errors import CompilationError


@triton.jit
def looked_up(table, DIRECT: tl.constexpr):
    if DIRECT:
        return tl.load(table)
    return table * 2


@triton.jit
def chosen(table, DIRECT: tl.constexpr):
    if DIRECT:
        found = tl.load(table)
    else:
        found = table * 2
    return found


@triton.jit
def early_return(out, table):
    tl.store(out, looked_up(table, True))


@triton.jit
def with_else(out, table):
    tl.store(out, chosen(table, True))


def tried(kernel):
    source = ASTSource(kernel, {"out": "*i32", "table": "*i32"}, {})
    try:
        triton.compile(source, target=GPUTarget("cuda", 90, 32))
    except CompilationError as error:
        while error.__cause__ is not None:
            error = error.__cause__
        return str(error).strip().splitlines()[-1].partition("'")[2].rstrip("')")
    return "compiles"


print(f"early return: {tried(early_return)}; else: {tried(with_else)}")
PY
for version in 3.6.0 3.8.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "triton==$version"
  seen=$(TRITON_CACHE_DIR="$folder/cache-$version" "$folder/$version/bin/python" "$folder/returns.py")
  echo "$version: $seen"
  test "$seen" = "early return: invalid operands of type pointer<int32> and triton.language.int32; else: compiles"
done
echo "as described"
