"""Superset's settings: its own files in the home, loopback, and DuckDB that reads nothing else."""

import os
import re
import secrets
from pathlib import Path
from threading import Lock
from typing import Any

import duckdb
from sqlalchemy import event
from sqlalchemy.engine import Engine

HOME = Path(os.environ["FPT_HOME"]).resolve()
OWN = HOME / "superset"


def kept_secret(name: str) -> str:
    """A secret of this home, made once and for its owner alone."""
    path = OWN / name
    if not path.exists():
        OWN.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32), encoding="utf-8")
    return path.read_text(encoding="utf-8")


SECRET_KEY = kept_secret("key")
SQLALCHEMY_DATABASE_URI = f"sqlite:///{OWN / 'superset.db'}"
PREVENT_UNSAFE_DB_CONNECTIONS = False  # it counts DuckDB among the unsafe; `confine` is the answer
TALISMAN_ENABLED = False  # loopback, without TLS
WTF_CSRF_ENABLED = True
ROW_LIMIT = 10_000
MUTATE_AFTER_SPLIT = False  # `SQL_QUERY_MUTATOR` sees a question whole
NO_QUESTIONS = {"copy", "query", "json_execute_serialized_sql"}  # words that no question needs
one_at_a_time = Lock()


def SQL_QUERY_MUTATOR(sql: str, **_: Any) -> str:  # noqa: N802 - Superset's name
    """Let questions alone through: a dashboard changes nothing.

    Raises:
        PermissionError: it is no question, or has a word that none needs.
    """
    kinds = {statement.type for statement in duckdb.extract_statements(sql)}
    words = named(sql)
    if kinds - {duckdb.StatementType.SELECT} or words & NO_QUESTIONS:
        raise PermissionError("Questions only: SELECT, WITH or FROM")
    return sql


def named(sql: str) -> set[str]:
    """The words of a question, in small letters; not what stands in texts and comments.

    >>> sorted(named("SELECT 'copy' FROM t -- query"))
    ['from', 'select', 't']
    """
    texts = (duckdb.token_type.string_const, duckdb.token_type.comment)
    said = sql.encode()
    begins = [said[at:].decode() for at, kind in duckdb.tokenize(sql) if kind not in texts]
    return {re.match(r'"?(\w*)', word)[1].lower() for word in begins}  # type: ignore[index]


@event.listens_for(Engine, "connect")
def confine(connection: Any, _record: Any) -> None:
    """A question reads the published tables and their files, and no others.

    Connections of one process to one file share its settings: the first locks them for all.
    """
    if not type(connection).__module__.startswith("duckdb_engine"):
        return
    settings = {
        "allowed_directories": f"['{HOME / 'store'}/']",
        "enable_external_access": "false",
        "lock_configuration": "true",
    }
    with one_at_a_time:
        connection.execute("SELECT current_setting('lock_configuration')")
        if connection.fetchone() == (True,):
            return
        for name, value in settings.items():
            connection.execute(f"SET {name} = {value}")
