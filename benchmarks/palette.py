"""PNG pictures of a screen with at most 256 colours: a third of the bytes, and nobody sees it."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST = 256


def reduced(picture: bytes) -> bytes:
    """A PNG as a browser writes it, as one with a palette.

    Raises:
        ValueError: it has another form than eight bits of red, green and blue, with alpha or not;
            its rows are filtered by what takes long to undo here.
    """
    return encoded(*quantized(decoded(picture)))


def decoded(picture: bytes) -> Pixels:
    """(height, width, 3) red, green, blue."""
    parts = chunks(picture)
    width, height, *form = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    channels = {2: 3, 6: 4}.get(form[1])
    if form[0] != 8 or channels is None or form[4]:
        raise ValueError("not a picture of eight bits a colour")
    rows = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, -1)
    return _unfiltered(rows, channels).reshape(height, width, channels)[..., :3]


def chunks(picture: bytes) -> dict[bytes, bytes]:
    """What is in the file by the kind of its chunks, those of a kind joined."""
    if not picture.startswith(SIGNATURE):
        raise ValueError("not a PNG")
    found: dict[bytes, bytes] = {}
    place = len(SIGNATURE)
    while place < len(picture):
        (size,) = struct.unpack_from(">I", picture, place)
        kind = picture[place + 4 : place + 8]
        found[kind] = found.get(kind, b"") + picture[place + 8 : place + 8 + size]
        place += size + 12
    return found


def _unfiltered(rows: Pixels, channels: int) -> Pixels:
    """The pixels behind the filters of rows that Chromium uses when it is asked for speed."""
    before = np.zeros(rows.shape[1] - 1, np.uint8)
    whole = []
    for kind, line in zip(rows[:, 0], rows[:, 1:], strict=True):
        if kind == 0:
            now = line
        elif kind == 1:  # what is added to the pixel at the left
            now = np.cumsum(line.reshape(-1, channels), 0, np.uint8).reshape(-1)
        elif kind == 2:  # to the one above
            now = line + before
        else:
            raise ValueError(f"a row with filter {kind}")
        whole.append(now)
        before = now
    return np.stack(whole)


def quantized(pixels: Pixels) -> tuple[Pixels, Pixels]:
    """A palette (at most 256, 3) and the place of each pixel's colour in it (height, width).

    The commonest colours are kept as they are; each of the others becomes the nearest of them.
    """
    flat = pixels.reshape(-1, 3).astype(np.int64)
    codes, places, counts = np.unique(
        flat @ [65536, 256, 1], return_inverse=True, return_counts=True
    )
    colours = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], 1)
    kept = np.sort(np.argsort(-counts, kind="stable")[:MOST])
    distance = ((colours[:, None] - colours[kept][None]) ** 2).sum(2)
    nearest = distance.argmin(1).astype(np.uint8)
    return colours[kept].astype(np.uint8), nearest[places].reshape(pixels.shape[:2])


def encoded(palette: Pixels, places: Pixels) -> bytes:
    """A PNG with a palette."""
    height, width = places.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), places], 1)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    data = zlib.compress(rows.tobytes(), 9)
    parts = ((b"IHDR", head), (b"PLTE", palette.tobytes()), (b"IDAT", data), (b"IEND", b""))
    return SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
