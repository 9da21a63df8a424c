"""Start Superset on loopback with the dashboard of a home: `python start.py [HOME]`."""

import os
import subprocess
import sys
from pathlib import Path

from bundle import bundle

HERE = Path(__file__).parent
USER = "fpt"


def main() -> None:
    """Set up what is missing, bring the dashboard up to date, serve until Ctrl-C."""
    home = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("FPT_HOME", ".fpt")).resolve()
    published = home / "published.duckdb"
    if not published.exists():
        sys.exit(f"Nothing is published in {home}; `fpt run` first, or give another home.")
    os.environ |= {
        "FPT_HOME": str(home),
        "SUPERSET_CONFIG_PATH": str(HERE / "superset_config.py"),
        "FLASK_APP": "superset.app:create_app()",
        "SCARF_ANALYTICS": "false",
    }
    port = os.environ.get("PORT", "8088")
    password = set_up(bundle(published))
    print(
        f"http://127.0.0.1:{port}/superset/dashboard/sas-fpt/", f"user {USER}, {password}", sep="\n"
    )
    serve = ["--bind", f"127.0.0.1:{port}", "--threads", "8", "superset.app:create_app()"]
    os.execv(program("gunicorn"), ["gunicorn", *serve])


def set_up(files: dict[str, str]) -> str:
    """Superset's own tables, the one user, the dashboard. Returns where the password is."""
    from superset_config import OWN, kept_secret

    secret = kept_secret("password")
    superset("db", "upgrade")
    who = ["--username", USER, "--firstname", "F", "--lastname", "PT", "--email", "fpt@localhost"]
    superset("fab", "create-admin", *who, "--password", secret)
    superset("init")
    replace(files)
    return f"password in {OWN / 'password'}"


def replace(files: dict[str, str]) -> None:
    """Put the dashboard, its charts and its questions in the place of what stood there before.

    Superset's command `import-dashboards` leaves charts and questions that are there as they were.
    """
    from superset.app import create_app

    with create_app().app_context():
        from superset import security_manager
        from superset.commands.importers.v1.assets import ImportAssetsCommand
        from superset.utils.core import override_user

        with override_user(security_manager.find_user(USER)):
            ImportAssetsCommand(files).run()


def superset(*words: str) -> None:
    """One of Superset's own commands; what it says is shown when it fails."""
    done = subprocess.run(
        [program("superset"), *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(
            f"superset {' '.join(words[:2])} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )


def program(name: str) -> str:
    """A program of this environment."""
    return str(Path(sys.executable).parent / name)


if __name__ == "__main__":
    main()
