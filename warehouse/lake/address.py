"""Where a lake is: PostgreSQL with its catalogue, and the folder of its data.

    ducklake:postgres://fpt@db.example.org:5432/lake?data=/mnt/share/lake

A password never belongs to an address: it stands in the URL of the environment, or wherever
libpq finds it by itself (PGPASSWORD, ~/.pgpass).
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from warehouse.errors import RefusedError

ASKED = "FPT_WAREHOUSE"
STORE = "s3://"
SCHEME = "ducklake:postgres://"
EXAMPLE = f"{SCHEME}user@host:5432/database?data=/folder/that/all/machines/see"
FILES = "files"  # the home's own catalogue
NOTE = "warehouse.url"
DEFAULT_SCHEMA = "public"


@dataclass(frozen=True)
class Address:
    """A lake.

    Attributes:
        host, port, user: of PostgreSQL; what is empty libpq finds by itself.
        database: of it.
        data: the folder of the lake's files, or their place in an object store (s3://).
        schema: within the database, so that one may hold several lakes.
    """

    host: str
    port: str
    user: str
    database: str
    data: str
    schema: str = DEFAULT_SCHEMA

    @property
    def url(self) -> str:
        """As `parsed` reads it, without a password."""
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        schema = "" if self.schema == DEFAULT_SCHEMA else f"&schema={quote(self.schema)}"
        where = f"{user}{host}{port}/{quote(self.database, safe='')}"
        return f"{SCHEME}{where}?data={quote(self.data)}{schema}"

    @property
    def is_remote(self) -> bool:
        """Whether the files are in an object store."""
        return self.data.startswith(STORE)

    @property
    def files(self) -> Path:
        """The folder, as programs open it."""
        return Path(self.data)


def parsed(url: str) -> tuple[Address, str | None]:
    """An address and the password that stood with it.

    >>> parsed("ducklake:postgres://me:s%40fe@db/lake?data=/mnt/lake")[0].url
    'ducklake:postgres://me@db/lake?data=/mnt/lake'
    >>> parsed("ducklake:postgres://me:s%40fe@db/lake?data=/mnt/lake")[1]
    's@fe'

    Raises:
        RefusedError: it is no such URL. What it holds is not repeated: a password may be in it.
    """
    if not url.startswith(SCHEME):
        raise _wrong(f"a URL that does not begin with {SCHEME}")
    try:
        parts = urlsplit(url.removeprefix("ducklake:"))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _wrong("a host or port that can't be read") from None
    if parts.fragment:
        raise _wrong("a # (write %23)")
    given = dict(parse_qsl(parts.query.replace("+", "%2B")))  # a plus is no blank in a path
    if unknown := sorted(given.keys() - {"data", "schema"}):
        raise _wrong(f"unknown {', '.join(unknown)}")
    database = unquote(parts.path.removeprefix("/"))
    if not database:
        raise _wrong("no database")
    data, schema = given.get("data", ""), given.get("schema", DEFAULT_SCHEMA)
    if not re.fullmatch(r"\w+", schema):
        raise _wrong("schema= that is no plain name")
    if "://" in data:
        _refuse_store(data)
    elif not data.startswith("/") or not data.strip("/") or set(data) & set("?\\"):
        raise _wrong("no data=, or not with a whole path, or one with ? or \\ in it")
    address = Address(
        host=host,
        port=str(port or ""),
        user=unquote(parts.username or ""),
        database=database,
        data=data.rstrip("/"),
        schema=schema,
    )
    return address, unquote(parts.password) if parts.password else None


def _refuse_store(data: str) -> None:
    bucket = data.removeprefix(STORE).partition("/")[0]
    if not data.startswith(STORE) or not bucket:
        raise _wrong(f"data= in a store that is none of {STORE}bucket/place")
    if "@" in bucket:
        raise _wrong("data= with a key in it (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)")
    if set(data) & set("?\\*[#"):
        raise _wrong("data= with one of ? \\ * [ # in it")


def _wrong(got: str) -> RefusedError:
    return RefusedError("This is no warehouse", got=got, expected=f"{EXAMPLE}, or `{FILES}`")


def asked() -> tuple[Address, str | None] | None:
    """What the environment names; None where it names nothing, or the home's own catalogue."""
    url = os.environ.get(ASKED, "")
    return None if url in ("", FILES) else parsed(url)


def choose(url: str) -> None:
    """Take it for this process and its children.

    Raises:
        RefusedError: it is no warehouse, or holds a password: other users see what was typed.
    """
    if url != FILES and parsed(url)[1] is not None:
        raise RefusedError(
            "The URL of the warehouse holds a password",
            to_do=f"Set it in the environment: the whole URL as {ASKED}, or PGPASSWORD",
        )
    os.environ[ASKED] = url


def password_of(address: Address) -> str | None:
    """What stands with it in the environment; None: libpq looks for one by itself."""
    named = asked()
    return named[1] if named and named[0] == address else None


def noted(root: Path) -> Address | None:
    """The lake that a home publishes into, if it does."""
    note = root / NOTE
    url = note.read_text(encoding="utf-8").strip() if note.is_file() else ""
    return parsed(url)[0] if url else None


def address_of(root: Path) -> Address | None:
    """The lake of a home, by its note or by the environment; None: its own catalogue.

    Raises:
        RefusedError: the two say different things; the home has published without the lake.
    """
    there, named = noted(root), asked()
    if os.environ.get(ASKED) == FILES and there is not None:
        raise _other(root, there.url, FILES)
    if named is None:
        return there
    if there is None and any((root / "catalogue").glob("*.duckdb")):
        raise RefusedError(
            "This home has a catalogue of its own",
            got=f"something is published in {root}",
            to_do="Give another --home for the lake, and publish it there anew",
        )
    if there is not None and there != named[0]:
        raise _other(root, there.url, named[0].url)
    return named[0]


def _other(root: Path, there: str, asked: str) -> RefusedError:
    return RefusedError(
        f"{root} publishes elsewhere", got=asked, expected=there, to_do="Give another --home"
    )
