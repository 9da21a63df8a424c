"""The store that several machines share: objects under the hash of their content, never changed.

It is named by a URL: a folder (file:///mnt/share or a path), s3://, gs:// or az://. Whatever is
read is checked against its name. What a machine can't reach is waited for; what it may not do is
refused at once.
"""

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from warehouse.errors import RefusedError, StepError
from warehouse.placing import put_in_place

T = TypeVar("T")
Say = Callable[[str], None]
WAIT = "FPT_STORE_WAIT_SECONDS"
WAIT_SECONDS = 900.0  # a store that does not answer is waited for so long
PAUSE_SECONDS = 2.0
SCHEMES = ("file", "s3", "gs", "az")
PROBE = b"fpt may write here"
CHUNK = 4 << 20
EXTRA = 'pip install "sas-fpt-pipeline[pool]"'


class MissingObjectError(RefusedError):
    """The store has no object of that name."""


@dataclass(frozen=True)
class SharedStore:
    """A store; every method waits for it and raises as `_asked` does.

    Attributes:
        url: as it was given.
        inner: the library's.
        say: gets a line when it has to wait, one for all that wait at the same time.
        wait_seconds: how long it does, unless `FPT_STORE_WAIT_SECONDS` says it.
        away: set while it does not answer.
    """

    url: str
    inner: Any
    say: Say
    wait_seconds: float = WAIT_SECONDS
    away: Event = field(default_factory=Event)

    def put(self, content: bytes) -> str:
        """Keep some bytes; returns their name, the SHA-256."""
        name = hashlib.sha256(content).hexdigest()
        if not self.has(name, len(content)):
            self._asked(lambda: _library().put(self.inner, _place(name), content))
        return name

    def put_file(self, path: Path) -> str:
        """Keep a file; returns its name. One that is there already is not sent again."""
        with path.open("rb") as file:
            name = hashlib.file_digest(file, "sha256").hexdigest()
        if not self.has(name, path.stat().st_size):
            self._asked(lambda: _library().put(self.inner, _place(name), path))
        return name

    def get(self, name: str) -> bytes:
        """The bytes of that name.

        Raises:
            RefusedError: there are none, or others.
        """
        content = bytes(self._asked(lambda: _library().get(self.inner, _place(name)).bytes()))
        self._refuse_damaged(_place(name), name, hashlib.sha256(content).hexdigest())
        return content

    def get_file(self, name: str, path: Path) -> None:
        """Bring the object of that name to `path`, whole or not at all.

        Raises:
            RefusedError: there is none, or it is damaged.
        """
        self.get_at(_place(name), name, path)

    def put_at(self, place: str, path: Path) -> None:
        """Keep a file under a name that nothing else ever has."""
        self._asked(lambda: _library().put(self.inner, place, path))

    def get_at(self, place: str, sha256: str, path: Path) -> None:
        """Bring what `put_at` kept to `path`, whole or not at all.

        Raises:
            RefusedError: there is none, or it has other bytes.
        """
        partial = path.with_name(f"{path.name}.partial")
        try:
            found = self._asked(lambda: self._brought(place, partial))
            self._refuse_damaged(place, sha256, found)
            put_in_place(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    def has(self, name: str, size: int) -> bool:
        """Whether an object of that name and size is there."""
        try:
            found = self._asked(lambda: _library().head(self.inner, _place(name)))
            return bool(found["size"] == size)
        except MissingObjectError:
            return False

    def mark(self, place: str, name: str) -> None:
        """Say under `place` that the object `name` belongs there; several may."""
        self._asked(lambda: _library().put(self.inner, f"{place}/{name}", b""))

    def marked(self, place: str) -> list[str]:
        """The objects that are said to belong under `place`, in the order of their names."""
        return sorted(self._listed(place))

    def folders(self, place: str) -> set[str]:
        """The places right under `place` that have anything, by one list of them all."""
        found = self._asked(lambda: _library().list_with_delimiter(self.inner, place))
        return {path.rstrip("/").rpartition("/")[2] for path in found["common_prefixes"]}

    def pulse(self, place: str) -> None:
        """Write the object at `place` anew. The one kind that is changed; tried once."""
        _library().put(self.inner, place, str(time.time_ns()).encode())

    def pulses(self, place: str) -> dict[str, str]:
        """The objects under `place`, each with what changes when it is written anew."""
        found = self._listed(place)
        return {name: f"{one['last_modified']} {one['e_tag']}" for name, one in found.items()}

    def changed(self, place: str) -> dict[str, float]:
        """All objects below `place`, each with when it was written."""
        found: Iterable[Any] = self._asked(lambda: _library().list(self.inner, place).collect())
        return {one["path"]: one["last_modified"].timestamp() for one in found}

    def forget(self, place: str) -> None:
        """Remove the object at `place`, if it can be: nothing depends on it."""
        with suppress(Exception):
            _library().delete(self.inner, place)

    def delete(self, place: str) -> None:
        """Remove the object at `place`, which may be gone.

        Raises:
            RefusedError: this machine may not.
            StepError: the store does not answer.
        """
        with suppress(MissingObjectError):
            self._asked(lambda: _library().delete(self.inner, place))

    def refuse_unusable(self) -> None:
        """Write a small object and read it.

        Raises:
            RefusedError: this machine may not, or what it reads is not what it wrote.
        """
        name = hashlib.sha256(PROBE).hexdigest()
        self._asked(lambda: _library().put(self.inner, _place(name), PROBE))
        self.get(name)

    def _listed(self, place: str) -> dict[str, Any]:
        """What the library says of each object under `place`, by its name."""
        found: Iterable[Any] = self._asked(lambda: _library().list(self.inner, place).collect())
        parts = ((*one["path"].rpartition("/"), one) for one in found)
        # a folder made in a console is an object that is called like the place itself
        return {name: one for above, _, name, one in parts if above.endswith(place)}

    def _brought(self, place: str, partial: Path) -> str:
        digest = hashlib.sha256()
        with partial.open("wb") as file:
            for chunk in _library().get(self.inner, place).stream(min_chunk_size=CHUNK):
                digest.update(chunk)
                file.write(chunk)
        return digest.hexdigest()

    def _refuse_damaged(self, place: str, expected: str, found: str) -> None:
        if found != expected:
            raise RefusedError(
                f"An object of the store is damaged: {self.url} {place}",
                got=f"SHA-256 {found}",
                to_do="Delete it in the store and run the command again",
            )

    def _asked(self, action: Callable[[], T]) -> T:
        """Do it; wait while the store does not answer.

        Raises:
            RefusedError: it refuses this machine; there is no such object, or no such bucket; a
                name under the place that is listed is none to the library.
            StepError: it does not answer for `FPT_STORE_WAIT_SECONDS`.
        """
        errors = _library().exceptions
        limit = float(os.environ.get(WAIT, self.wait_seconds))
        began = time.monotonic()
        while True:
            try:
                found = action()
                self.away.clear()
                return found
            except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
                raise self._refused(error) from None
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise RefusedError(
                        "There is no such bucket", got=self.url, to_do="Make it, or name another"
                    ) from None
                raise MissingObjectError(
                    "The store has no such object", got=f"{self.url}: {_cause(error)}"
                ) from None
            except errors.InvalidPathError as error:  # one such name hides all others from a list
                raise RefusedError(
                    "A name in the store can't be read",
                    got=f"{self.url}: {_cause(error)}",
                    to_do="Delete it with the program that wrote it",
                ) from None
            except errors.GenericError as error:
                if _is_refusal(str(error)):
                    raise self._refused(error) from None
                if time.monotonic() - began > limit:
                    raise StepError(
                        f"The store did not answer for {limit:.0f} s",
                        got=f"{self.url}: {_cause(error)}",
                        to_do="Then the same command goes on where it was",
                    ) from None
                if not self.away.is_set():
                    self.away.set()
                    self.say(f"the store {self.url} does not answer; waiting: {_cause(error)}")
            except OSError as error:
                raise self._refused(error) from None
            time.sleep(PAUSE_SECONDS)

    def _refused(self, error: BaseException) -> RefusedError:
        return RefusedError(
            "The store refuses this machine",
            got=f"{self.url}: {_cause(error)}",
            to_do="Give it credentials with the rights to list, read and write there",
        )


def open_store(url: str, say: Say, wait_seconds: float = WAIT_SECONDS) -> SharedStore:
    """The store of that name; credentials and endpoints come from the environment (AWS_…, …).

    Raises:
        RefusedError: no such kind of store; the library that speaks to it is not installed.
    """
    address = Path(url).expanduser().as_uri() if url.startswith(("/", "~")) else url
    scheme, _, rest = address.partition("://")
    if scheme not in SCHEMES or not rest:
        raise RefusedError(
            "No such kind of store", got=url, expected="a folder, file://, s3://, gs:// or az://"
        )
    if "@" in rest.partition("/")[0]:  # it would stand in the parameters of runs
        raise RefusedError(
            "The store's URL holds a password or key", to_do="Set it in the environment"
        )
    try:
        from obstore.store import from_url
    except ImportError:
        raise RefusedError("A shared store needs obstore", to_do=f"Do: {EXTRA}") from None
    more: dict[str, Any] = {"mkdir": True}
    if scheme != "file":
        # few attempts of the library's own: `_asked` waits, and says so
        retries = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}
        client: dict[str, Any] = {"connect_timeout": "5s", "timeout": "300s"}
        client |= {"allow_http": True} if _is_plain_endpoint() else {}
        more = {"client_options": client, "retry_config": retries}
    try:
        return SharedStore(url, from_url(address, **more), say, wait_seconds)
    except Exception as error:
        raise RefusedError("The store can't be opened", got=f"{url}: {_cause(error)}") from None


def _is_plain_endpoint() -> bool:
    """Whether the endpoint that is set is a server without TLS, as inside one's own network."""
    named = ("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AZURE_ENDPOINT")
    return any(os.environ.get(name, "").startswith("http://") for name in named)


def _place(name: str) -> str:
    return f"objects/{name}"


def _is_refusal(said: str) -> bool:
    """Whether an answer that the library has no word for is one that waiting does not change."""
    # the last is of one object of several that are deleted at once
    words = ("401 Unauthorized", "403 Forbidden", "NoSuchBucket", "ExpiredToken", "AccessDenied")
    return any(word in said for word in words)


def _cause(error: BaseException) -> str:
    """What the server said, if it did, else the library's words without its inner state.

    >>> _cause(OSError("No: status code: 403 Forbidden: <Code>Denied</Code><Message>Go.</Message>"))
    '403 Forbidden, Denied: Go.'
    """
    said = " ".join(str(error).partition("\n\nDebug source")[0].split())
    status = re.search(r"status code: (\d+ \w+(?: \w+)?)", said)
    told = re.search(r"<Code>(.*?)</Code>\s*<Message>(.*?)</Message>", said)
    parts = [status[1] if status else "", f"{told[1]}: {told[2]}" if told else ""]
    return ", ".join(part for part in parts if part) or said[:300]


def _library() -> Any:
    import obstore
    import obstore.exceptions

    return obstore
