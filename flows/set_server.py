"""Is Prefect told of a server? Answered without its own settings, which take long to read."""

import os
from pathlib import Path


def may_be_set() -> bool:
    """Whether Prefect may be told of a server, by any of the places that it reads settings from.

    By words alone, so it may say yes where nothing is set, and never no where something is.
    """
    if any(name.upper() in ("PREFECT_API_URL", "PREFECT_PROFILE") for name in os.environ):
        return True
    folder = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH") or folder / "profiles.toml")
    return (
        Path("prefect.toml").exists()
        or _says(profiles, "api_url")
        or _says(Path(".env"), "prefect_api_url")
        or _says(Path("pyproject.toml"), "[tool.prefect")
    )


def _says(path: Path, word: str) -> bool:
    try:
        return word in path.expanduser().read_text(encoding="utf-8", errors="replace").lower()
    except FileNotFoundError:
        return False
    except OSError:
        return True  # who knows
