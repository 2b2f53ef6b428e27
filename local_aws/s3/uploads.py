"""The body of an upload to S3: taken out of its chunks, written to a file as it comes, and held against its checksums.

A body with `Content-Encoding: aws-chunked` is, with or without signatures, and with or without trailing headers:

    LENGTH-IN-HEX[;chunk-signature=…] CRLF bytes CRLF … 0[;…] CRLF [x-amz-checksum-crc32:… CRLF] CRLF

Source: Amazon S3's pages "Transferring payload in multiple chunks" and "Checking object integrity".
"""

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request

from ..refusals import Refused

MOST_LINE_BYTES = 8_192  # of a chunk's head, or of a trailing header
CHECKSUM_HEADER = "x-amz-checksum-"


class Crc32:
    """CRC32 in the form of `hashlib`'s algorithms."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        """Take more bytes."""
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        """The checksum of all bytes so far."""
        return self._value.to_bytes(4, "big")


ALGORITHMS: Mapping[str, Callable[[], Any]] = {"CRC32": Crc32, "SHA1": hashlib.sha1, "SHA256": hashlib.sha256}


@dataclass(frozen=True)
class Uploaded:
    """What has been written: bytes, their MD5, and the checksums that the client gave, base64, by algorithm."""

    size: int
    md5: bytes
    checksums: Mapping[str, str]


class Chunks:
    """Takes a body out of its chunks, however it arrives; `trailers` are there once it has ended."""

    def __init__(self) -> None:
        self.trailers: dict[str, str] = {}
        self._held = b""
        self._left = 0  # bytes of the chunk that is being read
        self._state = "head"  # head → data → end of data → head … → trailers → done

    @property
    def done(self) -> bool:
        """Whether the last chunk and what trails it have come."""
        return self._state == "done"

    def feed(self, received: bytes) -> Iterator[bytes]:
        """The pieces of the body in what has been received."""
        self._held += received
        while self._held and not self.done:
            if self._state == "data":
                piece, self._held = self._held[: self._left], self._held[self._left :]
                self._left -= len(piece)
                self._state = "data" if self._left else "end of data"
                yield piece
                continue
            line, newline, rest = self._held.partition(b"\r\n")
            if not newline:
                if len(self._held) > MOST_LINE_BYTES:
                    raise _malformed()
                return
            self._held = rest
            self._line(line)

    def _line(self, line: bytes) -> None:
        if self._state == "end of data" and not line:
            self._state = "head"
        elif self._state == "head":
            self._left = _length(line)
            self._state = "data" if self._left else "trailers"
        elif self._state == "trailers":
            name, colon, value = line.decode("latin-1").partition(":")
            if colon:
                self.trailers[name.strip().lower()] = value.strip()
            else:
                self._state = "done"
        else:
            raise _malformed()


async def uploaded(request: Request, path: Path) -> Uploaded:
    """Write the body of a request to a file.

    Raises:
        Refused: it is not what its length, its checksums or its chunks say; the file is not there then.
        ClientDisconnect: the client left; likewise.
    """
    digests = {name: ALGORITHMS[name]() for name in algorithms_of(request.headers)}
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    chunks = Chunks() if "aws-chunked" in request.headers.get("Content-Encoding", "") else None
    try:
        with path.open("xb") as file:
            async for received in request.stream():
                for data in chunks.feed(received) if chunks else (received,):
                    file.write(data)
                    size += len(data)
                    for digest in (md5, sha256, *digests.values()):
                        digest.update(data)
        checksums = {name: base64.b64encode(digest.digest()).decode() for name, digest in digests.items()}
        headers = {**request.headers, **(chunks.trailers if chunks else {})}
        _check_whole(headers, size, chunks)
        _check_digests(headers, checksums, md5.digest(), sha256.hexdigest())
    except BaseException:
        with suppress(FileNotFoundError):
            path.unlink()
        raise
    return Uploaded(size, md5.digest(), checksums)


def algorithms_of(headers: Mapping[str, str]) -> list[str]:
    """The checksums that a request has, or says will trail it.

    Raises:
        Refused: one that is not calculated here.
    """
    named = [*headers, *headers.get("x-amz-trailer", "").split(",")]
    asked = [
        name.strip().lower().removeprefix(CHECKSUM_HEADER).upper() for name in named if CHECKSUM_HEADER in name.lower()
    ]
    found = [name for name in dict.fromkeys(asked) if name not in ("ALGORITHM", "MODE", "TYPE")]
    for name in found:
        if name not in ALGORITHMS:
            known = ", ".join(ALGORITHMS)
            raise Refused("NotImplemented", f"The local runtime does not calculate {name}; it has {known}.", 501)
    return found


def _check_whole(headers: Mapping[str, str], size: int, chunks: Chunks | None) -> None:
    declared = headers.get("x-amz-decoded-content-length" if chunks else "content-length", str(size))
    if declared != str(size) or (chunks is not None and not chunks.done):
        message = "You did not provide the number of bytes specified by the Content-Length HTTP header"
        raise Refused("IncompleteBody", f"{message} ({declared}, and {size} came).")


def _check_digests(headers: Mapping[str, str], checksums: Mapping[str, str], md5: bytes, sha256: str) -> None:
    for name, calculated in checksums.items():
        given = headers.get(f"{CHECKSUM_HEADER}{name.lower()}")
        if given != calculated:
            what = "did not match the calculated checksum" if given else "did not come"
            raise Refused("BadDigest", f"The {name} you specified {what}.")
    if headers.get("content-md5", "") not in ("", base64.b64encode(md5).decode()):
        raise Refused("BadDigest", "The Content-MD5 you specified did not match what we received.")
    signed = headers.get("x-amz-content-sha256", "")
    if len(signed) == len(sha256) and signed != sha256:  # else it says that the payload is not signed as a whole
        message = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise Refused("XAmzContentSHA256Mismatch", message)


def _length(head: bytes) -> int:
    try:
        return int(head.partition(b";")[0], 16)
    except ValueError as error:
        raise _malformed() from error


def _malformed() -> Refused:
    return Refused("InvalidRequest", "The body is not in the form of aws-chunked.")
