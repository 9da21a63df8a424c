"""Is Prefect told of a server? Answered without its own settings, which take long to read."""

import os
import tomllib
from pathlib import Path


def may_be_set() -> bool:
    """Whether Prefect may be told of a server, by any of the places that it reads settings from.

    By words alone, so it may say yes where nothing is set, and never no where something is.
    """
    named = {name.upper(): value for name, value in os.environ.items()}
    if "PREFECT_API_URL" in named or "PREFECT_PROFILE" in named:
        return True
    folder = Path(named.get("PREFECT_HOME") or "~/.prefect").expanduser()
    profiles = Path(named.get("PREFECT_PROFILES_PATH") or folder / "profiles.toml")
    return (
        Path("prefect.toml").exists()
        or "api_url" in _words(profiles, "api_url")
        or "prefect_" in _words(Path(".env"), "prefect_")  # which may name another profile
        or _has_table(Path("pyproject.toml"))
    )


def _words(path: Path, unreadable: str) -> str:
    """A file's text in small letters."""
    try:
        return path.expanduser().read_text(encoding="utf-8", errors="replace").lower()
    except FileNotFoundError:
        return ""
    except OSError:
        return unreadable  # who knows


def _has_table(path: Path) -> bool:
    """Whether a pyproject.toml has settings of Prefect, however they are written."""
    try:
        return "prefect" in tomllib.loads(_words(path, "[tool.prefect]")).get("tool", {})
    except tomllib.TOMLDecodeError:
        return True
