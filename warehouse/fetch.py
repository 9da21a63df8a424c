"""A data set's archive from its publisher: bounded in time and size, resumed, checked."""

import os
import re
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from warehouse.archive import MAX_ARCHIVE_BYTES, checksums
from warehouse.database import locked
from warehouse.datasets.dataset import Dataset
from warehouse.errors import RefusedError, StepError
from warehouse.home import Home
from warehouse.lines import Advance
from warehouse.placing import put_in_place
from warehouse.synthetic.world import SyntheticWorld
from warehouse.synthetic.writer import write_archive

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
RANGE_UNUSABLE = 416
MAX_MD5_FILE_BYTES = 1 << 16
TRY_AGAIN = {408, 425, 429, RANGE_UNUSABLE}  # and every 5xx


@dataclass(frozen=True)
class Patience:
    """How long a download may take, and how often it is tried.

    Attributes:
        attempts: connections in all; each goes on where the one before broke off.
        stall: seconds without a byte after which a connection is given up.
        total: seconds for all attempts together.
        pause: seconds before the second attempt; doubled before each later one.
    """

    attempts: int = 5
    stall: float = 30.0
    total: float = 2 * 3600.0
    pause: float = 2.0


class _BrokenError(Exception):
    """A connection that may be tried again."""


def fetch(
    dataset: Dataset,
    home: Home,
    progress: Advance | None = None,
    patience: Patience = Patience(),
) -> Path:
    """The archive in `sources/`: fetched if it is not there whole; the synthetic world is written.

    Args:
        dataset: which one.
        home: where to keep it.
        progress: is told the bytes (of the synthetic world: the users) done and in all.
        patience: limits of a download.

    Raises:
        RefusedError: the publisher can't be reached, answers with something else, or takes longer
            than `patience`; nothing but a partial file is left.
    """
    target = dataset.archive(home.sources)
    with locked(home, f"fetch-{dataset.name}"):
        if dataset.is_synthetic:
            write_archive(SyntheticWorld(), target, progress=progress)
        elif not is_there(dataset, target):
            _download(dataset, target, progress, patience)
        # whoever died after the last rename has left it
        _validator_file(target).unlink(missing_ok=True)
    return target


def is_there(dataset: Dataset, target: Path) -> bool:
    """Whether an archive needs no fetching."""
    return target.exists() and dataset.md5 in (None, checksums(target)[1])


def _download(dataset: Dataset, target: Path, progress: Advance | None, patience: Patience) -> None:
    deadline = time.monotonic() + patience.total
    partial = target.with_suffix(".partial")
    url = str(dataset.url)
    with _client(patience) as client:
        expected = dataset.md5 or _stated_md5(client, url, deadline)
        for attempt in range(1, patience.attempts + 1):
            try:
                _go_on(client, dataset, partial, deadline, progress)
                break
            except (httpx.RequestError, _BrokenError) as error:
                pause = patience.pause * 2 ** (attempt - 1)
                if attempt == patience.attempts or time.monotonic() + pause > deadline:
                    raise _unreachable(dataset, error, attempt) from error
                time.sleep(pause)
    _check(dataset, partial, expected)
    put_in_place(partial, target)


@contextmanager
def _client(patience: Patience) -> Iterator[httpx.Client]:
    with httpx.Client(
        timeout=patience.stall,
        follow_redirects=True,
        headers={"Accept-Encoding": "identity"},
        event_hooks={"request": [_refuse_plain_http]},
    ) as client:
        yield client


def _refuse_plain_http(request: httpx.Request) -> None:
    """Also of a redirect: what is fetched must not be readable or changeable on the way."""
    if request.url.scheme != "https" and request.url.host not in LOOPBACK:
        raise RefusedError("Not fetched", got=str(request.url), expected="https")


def _stated_md5(client: httpx.Client, url: str, deadline: float) -> str | None:
    """The checksum that stands beside an archive which changes over time, if there is one."""
    text = b""
    try:
        with client.stream("GET", f"{url}.md5") as answer:
            if not answer.is_success:
                return None
            for chunk in answer.iter_raw():
                text += chunk
                if len(text) > MAX_MD5_FILE_BYTES or time.monotonic() > deadline:
                    return None
    except httpx.RequestError:
        return None
    found = re.search(rb"\b[0-9a-f]{32}\b", text)
    return found.group().decode() if found else None


def _go_on(
    client: httpx.Client, dataset: Dataset, partial: Path, deadline: float, progress: Advance | None
) -> None:
    """One connection: the rest of the partial file, or all of it if the publisher's changed."""
    have, version = _resume_from(partial)
    headers = {"Range": f"bytes={have}-", "If-Range": version} if have else {}
    with client.stream("GET", str(dataset.url), headers=headers) as answer:
        _refuse_or_break(dataset, answer, partial)
        resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
        if resumed and not _is_the_rest(answer, have, version):
            partial.unlink(missing_ok=True)
            raise _BrokenError("another range or version than asked for")
        done = have if resumed else 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else dataset.size
        if not resumed:
            _validator_file(partial).write_text(_validator(answer))
        with partial.open("ab" if resumed else "wb") as file:
            for chunk in answer.iter_raw():
                done += len(chunk)
                _refuse_excess(dataset, done, deadline)
                file.write(chunk)
                if progress:
                    progress(done, total)
            file.flush()
            os.fsync(file.fileno())


def _resume_from(partial: Path) -> tuple[int, str]:
    """Bytes that are there, and what tells their version; 0 when they can't be gone on from."""
    stored = _validator_file(partial)
    have = partial.stat().st_size if partial.exists() else 0
    version = stored.read_text() if stored.exists() else ""
    return (have, version) if have and version else (0, "")


def _is_the_rest(answer: httpx.Response, have: int, version: str) -> bool:
    """A server need not repeat the version; where it does, it must be the one asked for."""
    in_place = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
    return in_place and _validator(answer) in ("", version)


def _validator_file(partial: Path) -> Path:
    return partial.with_suffix(".version")


def _validator(answer: httpx.Response) -> str:
    etag = answer.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return str(etag)
    return str(answer.headers.get("Last-Modified", ""))


def _refuse_or_break(dataset: Dataset, answer: httpx.Response, partial: Path) -> None:
    status = answer.status_code
    if answer.is_success:
        return
    if status == RANGE_UNUSABLE:
        partial.unlink(missing_ok=True)
    if status in TRY_AGAIN or answer.is_server_error:
        raise _BrokenError(f"status {status}")
    raise StepError(
        f"{dataset.name} can't be fetched",
        got=f"status {status} from {answer.url}",
        to_do="Get the archive in another way and give it as --source",
    )


def _refuse_excess(dataset: Dataset, done: int, deadline: float) -> None:
    most = dataset.size or MAX_ARCHIVE_BYTES
    if done > most:
        raise RefusedError(
            f"{dataset.name} is larger than it should be", got=f"over {most:,} bytes"
        )
    if time.monotonic() > deadline:
        raise StepError(
            f"Fetching {dataset.name} takes too long",
            got=f"{done:,} bytes so far",
            to_do="Run it again: it goes on from there",
        )


def _check(dataset: Dataset, partial: Path, expected: str | None) -> None:
    got = checksums(partial)[1]
    if got == expected or (expected is None and zipfile.is_zipfile(partial)):
        return
    size = partial.stat().st_size
    partial.unlink()
    raise RefusedError(
        f"{dataset.name}: what {urlsplit(str(dataset.url)).netloc} sent is not its archive",
        got=f"{size:,} bytes, MD5 {got}",
        expected=f"MD5 {expected}" if expected else "a zip archive",
        to_do="Run it again, or give the archive as --source",
    )


def _unreachable(dataset: Dataset, error: Exception, attempts: int) -> RefusedError:
    return StepError(
        f"{dataset.name} can't be fetched",
        got=f"{type(error).__name__.removeprefix('_')} {error} after {attempts} attempts",
        to_do=f"Try {dataset.url} in a browser, or give the archive as --source",
    )
