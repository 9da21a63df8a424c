"""`python -m warehouse.synthetic --output world.zip`: write a world of any size."""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from warehouse.errors import RefusedError
from warehouse.synthetic.world import SyntheticWorld
from warehouse.synthetic.writer import write_archive

EXAMPLE = """example, 32 million ratings in ML-32M's layout:
  python -m warehouse.synthetic --output big.zip --layout csv --name ml-32m \\
      --n-users 200000 --n-items 80000 --mean-length 165
"""


def main() -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--layout", choices=("double-colon", "csv"), default="double-colon")
    parser.add_argument("--name", default="synthetic", help="data set that it should pass for")
    for field in fields(SyntheticWorld):
        kind = int if field.type is int else float
        option = f"--{field.name.replace('_', '-')}"
        parser.add_argument(option, type=kind, default=field.default)
    asked = vars(parser.parse_args())
    output, layout, name = asked.pop("output"), asked.pop("layout"), asked.pop("name")
    try:
        write_archive(SyntheticWorld(**asked), output, name=name, layout=layout, progress=_show)
    except (RefusedError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(file=sys.stderr)
    return 0


def _show(done: int, total: int | None) -> None:
    print(f"\r{done:,} of {total:,} users", end="", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
