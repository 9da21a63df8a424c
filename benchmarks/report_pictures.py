"""Pictures of the report for the docs, of the synthetic world alone: light, dark, on a phone.

MovieLens's titles and ratings may not be in a repository, so the world is made anew for it:

    python benchmarks/report_pictures.py            # some minutes
    python benchmarks/report_pictures.py --home H   # of a home that has nothing but synthetic data
"""

import argparse
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from browser import browser
from PIL import Image

ROOT = Path(__file__).parents[1]
FPT = Path(sys.executable).parent / "fpt"
IMAGES = ROOT / "docs" / "images"
WIDE, PHONE = 1400, 390
SEEDS = 2
PICTURES = {  # width, height of what is shown (None: all of it), dark
    "report.png": (WIDE, 2000, False),
    "report-dark.png": (WIDE, 2000, True),
    "report-narrow.png": (PHONE, 2400, False),
}


def main() -> None:
    """Make the world, its report and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, help="of a pipeline that ran; else one is made")
    parser.add_argument("--output", type=Path, default=IMAGES, help="folder of the pictures")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = asked.home or trained(Path(folder, "home"))
        refuse_others(home)
        page = Path(folder, "report.html")
        subprocess.run([FPT, "report", "--home", home, "--output", page, "--json"], check=True)
        for name, data in pictures(page).items():
            (asked.output / name).write_bytes(data)
            print(f"{asked.output / name}: {len(data):,} bytes")


def trained(home: Path) -> Path:
    """A home with the ladder of models on the synthetic world."""
    models = ["sasrec", "sse_pt", "tisasrec", "tisasrec_plus", "tisasrec_plus_plus", "sas_fpt"]
    words = [word for model in models for word in ("--model", model)]
    command = [FPT, "run", *words, "--seeds", str(SEEDS), "--home", home, "--json"]
    subprocess.run(command, check=True)
    return home


def refuse_others(home: Path) -> None:
    """End where anything but the synthetic world is published."""
    from warehouse.home import Home
    from warehouse.questions import ask

    rows = ask(Home.existing(home), "SELECT DISTINCT dataset FROM raw.loads ORDER BY 1")
    found = rows["dataset"].to_list()
    if found != ["synthetic"]:
        sys.exit(f"{home} has {', '.join(found)}: pictures are of synthetic data alone")


def pictures(page: Path) -> dict[str, bytes]:
    """The page as PNG of few colours, by name."""
    shown = {}
    with browser() as tab:
        for name, (width, height, dark) in PICTURES.items():
            tab.open(page, width=width, height=900, dark=dark)
            shown[name] = reduced(tab.picture(height))
    return shown


def reduced(picture: bytes) -> bytes:
    """A PNG with at most 256 colours: a third of the bytes, and nobody sees it."""
    few = Image.open(BytesIO(picture)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    written = BytesIO()
    few.save(written, "PNG", optimize=True)
    return written.getvalue()


if __name__ == "__main__":
    main()
