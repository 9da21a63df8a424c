"""Run findings again, and say which still hold; the standard library alone.

Usage: python findings/run.py [NAME …] [--jobs N] [--limit MINUTES] [--list]

A finding is a script beside this file. It holds if it exits with 0 in a folder of its own. Two
lines of its head are read, both optional: "# Needs:" names what a machine may lack (a GPU, a
command, or a variable of the environment), "# Takes: up to N minutes" is its time limit.

Exits with 0 if nothing changed, 1 if something did or took too long, 2 for a name that isn't there.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

MINUTES = 10  # for a finding that says nothing of its time
LAST_LINES = 20  # of a finding that changed


@dataclass(frozen=True)
class Finding:
    """A script and what its head says.

    Attributes:
        script: where it is.
        title: its first line of comment.
        needs: what a machine may lack.
        minutes: how long it may take.
    """

    script: Path
    title: str
    needs: Sequence[str]
    minutes: float

    @property
    def name(self) -> str:
        """What it is asked for by."""
        return self.script.stem


@dataclass(frozen=True)
class Outcome:
    """What came of one: `held`, `changed`, `too slow` or `skipped`; its time, and what it said."""

    finding: Finding
    verdict: str
    seconds: float
    said: str


def head(script: Path) -> Finding:
    """Read the lines of comment at the start of a finding."""
    lines: list[str] = []
    for line in script.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("#!"):
            lines.append(line.removeprefix("#").strip())
    fields = {name: text.strip() for name, _, text in (line.partition(":") for line in lines[1:])}
    limit = re.match(r"up to (\d+) minutes?", fields.get("Takes", ""))
    needs = [one.strip() for one in fields.get("Needs", "").split(",") if one.strip()]
    return Finding(script, lines[0], needs, float(limit[1]) if limit else MINUTES)


def missing(need: str) -> str | None:
    """Why this machine can't run a finding that needs it, or None."""
    if need == "GPU":
        asked = shutil.which("nvidia-smi")
        found = asked and subprocess.run([asked, "-L"], capture_output=True, check=False)
        return None if found and found.stdout.startswith(b"GPU") else "there is no GPU here"
    if need.isupper():
        return None if os.environ.get(need) else f"{need} is not set"
    return None if shutil.which(need) else f"there is no {need} here"


def run(finding: Finding, limit: float | None = None) -> Outcome:
    """Run one in a new folder, which is removed; what it started ends with it."""
    lacking = [reason for need in finding.needs if (reason := missing(need))]
    if lacking:
        return Outcome(finding, "skipped", 0.0, "; ".join(lacking))
    minutes = finding.minutes if limit is None else limit
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="finding-", ignore_cleanup_errors=True) as folder:
        verdict, said = _ended(finding.script, Path(folder), minutes * 60)
    return Outcome(finding, verdict, time.monotonic() - start, said)


def _ended(script: Path, folder: Path, seconds: float) -> tuple[str, str]:
    log = folder / "said"
    own = os.environ | {"TMPDIR": str(folder)}
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):  # a finding has packages of its own
        own.pop(name, None)
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["bash", script.resolve()], cwd=folder, env=own, stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            verdict = "changed" if process.wait(seconds) else "held"
        except subprocess.TimeoutExpired:
            verdict = "too slow"
        finally:
            _end(process)
    return verdict, log.read_text(encoding="utf-8", errors="replace")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End all that it started and left."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def table(outcomes: Iterable[Outcome]) -> str:
    """A line a finding, and the last words of those that changed."""
    outcomes = list(outcomes)
    width = max((len(one.finding.name) for one in outcomes), default=0)
    lines = [
        f"{one.verdict:8}  {one.finding.name:{width}}  "
        + (one.said if one.verdict == "skipped" else f"{one.seconds:.0f} s")
        for one in outcomes
    ]
    for one in outcomes:
        if one.verdict in {"changed", "too slow"}:
            lines += ["", f"{one.finding.name}:", *one.said.splitlines()[-LAST_LINES:]]
    counts = {one.verdict: 0 for one in outcomes}
    for one in outcomes:
        counts[one.verdict] += 1
    lines += ["", ", ".join(f"{number} {verdict}" for verdict, number in counts.items())]
    return "\n".join(lines)


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run.py", description="Run findings again.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="all without one")
    parser.add_argument("--jobs", type=int, default=1, help="how many at once (1)")
    parser.add_argument("--limit", type=float, metavar="MINUTES", help="for each, not its own")
    parser.add_argument("--list", action="store_true", help="say what there is")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None, folder: Path | None = None) -> int:
    """Run what is asked for."""
    asked = _asked(arguments)
    scripts = sorted((folder or Path(__file__).parent).glob("*.sh"))
    known = {finding.name: finding for finding in map(head, scripts)}
    names = [name.removesuffix(".sh") for name in asked.names] or list(known)
    if unknown := sorted(set(names) - set(known)):
        print(f"There is no finding {', '.join(unknown)}; --list names all", file=sys.stderr)
        return 2
    chosen = [known[name] for name in dict.fromkeys(names)]
    if asked.list:
        print("\n".join(f"{one.name}\n    {one.title}" for one in chosen))
        return 0
    with ThreadPoolExecutor(max(asked.jobs, 1)) as pool:
        outcomes = list(pool.map(lambda one: run(one, asked.limit), chosen))
    print(table(outcomes))
    return int(any(one.verdict in {"changed", "too slow"} for one in outcomes))


if __name__ == "__main__":
    sys.exit(main())
