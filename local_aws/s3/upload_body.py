"""The body of an upload: decoded, written to a file as it arrives, and compared with its checksums.

A body with `Content-Encoding: aws-chunked` has this form, with or without signatures and trailing headers:

    LENGTH-IN-HEX[;chunk-signature=…] CRLF bytes CRLF … 0[;…] CRLF [x-amz-checksum-crc32:… CRLF] CRLF

Source: Amazon S3's pages "Transferring payload in multiple chunks" and "Checking object integrity".
"""

import base64
import hashlib
import re
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request

from ..errors import AwsError

MAX_LINE_BYTES = 8_192  # of a chunk's head, or of a trailing header
MAX_TRAILERS = 100
CHECKSUM_HEADER = "x-amz-checksum-"
STORED_HEADERS = ("content-type", "cache-control", "content-disposition", "content-language", "content-encoding")


class Crc32:
    """CRC32 with the methods of `hashlib`'s algorithms."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        """Add bytes."""
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        """The checksum of all bytes so far."""
        return self._value.to_bytes(4, "big")


# Python has no CRC32C and no CRC64NVME: such checksums are accepted without a check.
ALGORITHMS: Mapping[str, Callable[[], Any]] = {"CRC32": Crc32, "SHA1": hashlib.sha1, "SHA256": hashlib.sha256}


@dataclass(frozen=True)
class Body:
    """A body that has been written: its bytes, its MD5, and the checksums that the client gave, base64, by algorithm."""

    size: int
    md5: bytes
    checksums: Mapping[str, str]

    @property
    def etag(self) -> str:
        """The ETag, without quotes."""
        return self.md5.hex()


class ChunkedBody:
    """A body in aws-chunked form, read from a stream that may be split anywhere.

    Attributes:
        trailers: the trailing headers, in lower case, once the body has been read.
    """

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self.trailers: dict[str, str] = {}
        self._stream, self._buffer = stream, bytearray()

    async def data(self) -> AsyncIterator[bytes]:
        """The body's bytes. Raises AwsError: `InvalidRequest`, `IncompleteBody`."""
        while remaining := _length(await self._line()):
            while remaining:
                if not self._buffer:
                    await self._receive()
                data = bytes(self._buffer[:remaining])
                del self._buffer[: len(data)]
                remaining -= len(data)
                yield data
            if await self._line():
                raise _malformed()
        while trailer := await self._line():
            name, _, value = trailer.decode("latin-1").partition(":")
            self.trailers[name.strip().lower()] = value.strip()
            if len(self.trailers) > MAX_TRAILERS:
                raise _malformed()
        async for _ in self._stream:  # up to its end, so that the next request can follow
            continue

    async def _line(self) -> bytes:
        """The next line, without its end."""
        while (end := self._buffer.find(b"\r\n", 0, MAX_LINE_BYTES)) < 0:
            if len(self._buffer) >= MAX_LINE_BYTES:
                raise _malformed()
            await self._receive()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    async def _receive(self) -> None:
        try:
            self._buffer += await anext(self._stream)
        except StopAsyncIteration:
            raise AwsError("IncompleteBody", "The body ended before its last chunk.") from None


async def write_body(http: Request, path: Path) -> Body:
    """Write the body of a request to a new file.

    Raises:
        AwsError: it does not match its length, its checksums or its chunked form; the file is removed.
        ClientDisconnect: the client left; the file is removed.
    """
    digests = {name: ALGORITHMS[name]() for name in _algorithms(http.headers)}
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    chunked = ChunkedBody(http.stream()) if "aws-chunked" in http.headers.get("Content-Encoding", "") else None
    try:
        with path.open("xb") as file:
            async for data in chunked.data() if chunked else http.stream():
                file.write(data)
                size += len(data)
                for digest in (md5, sha256, *digests.values()):
                    digest.update(data)
        checksums = {name: base64.b64encode(digest.digest()).decode() for name, digest in digests.items()}
        headers = {**http.headers, **(chunked.trailers if chunked else {})}
        _check_size(headers.get("x-amz-decoded-content-length" if chunked else "content-length", str(size)), size)
        _check_digests(headers, checksums, md5.digest(), sha256.hexdigest())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Body(size, md5.digest(), checksums)


def stored_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of an upload that are returned with its object."""
    stored = {
        name: value for name, value in headers.items() if name in STORED_HEADERS or name.startswith("x-amz-meta-")
    }
    codings = [coding.strip() for coding in stored.pop("content-encoding", "").split(",")]
    remaining = [coding for coding in codings if coding not in ("", "aws-chunked")]
    return stored | ({"content-encoding": ",".join(remaining)} if remaining else {})


def checksum_headers(checksums: Mapping[str, str]) -> dict[str, str]:
    """The headers of a response that contain checksums, by algorithm."""
    return {f"{CHECKSUM_HEADER}{algorithm.lower()}": value for algorithm, value in checksums.items()}


def _algorithms(headers: Mapping[str, str]) -> list[str]:
    """The checksums that are to be calculated: those that the request has, or announces in `x-amz-trailer`."""
    announced = [name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",")]
    return [name for name in ALGORITHMS if f"{CHECKSUM_HEADER}{name.lower()}" in [*headers, *announced]]


def _check_size(declared: str, size: int) -> None:
    if declared != str(size):
        message = "You did not provide the number of bytes specified by the Content-Length HTTP header"
        raise AwsError("IncompleteBody", f"{message} ({declared}; {size} arrived).")


def _check_digests(headers: Mapping[str, str], checksums: Mapping[str, str], md5: bytes, sha256: str) -> None:
    for algorithm, calculated in checksums.items():
        given = headers.get(f"{CHECKSUM_HEADER}{algorithm.lower()}")
        if given != calculated:
            problem = "did not match the calculated checksum" if given else "did not arrive"
            raise AwsError("BadDigest", f"The {algorithm} you specified {problem}.")
    if headers.get("content-md5", "") not in ("", base64.b64encode(md5).decode()):
        raise AwsError("BadDigest", "The Content-MD5 you specified did not match what we received.")
    signed = headers.get("x-amz-content-sha256", "")
    if len(signed) == len(sha256) and signed != sha256:  # other values mean that the whole body is not signed
        message = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise AwsError("XAmzContentSHA256Mismatch", message)


def _length(head: bytes) -> int:
    digits = head.partition(b";")[0].strip()
    if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", digits):
        raise _malformed()
    return int(digits, 16)


def _malformed() -> AwsError:
    return AwsError("InvalidRequest", "The body is not in the form of aws-chunked.")
