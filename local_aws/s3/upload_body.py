"""The body of an upload: decoded, written to a file as it arrives, and compared with its checksums.

A body with `Content-Encoding: aws-chunked` has this form, with or without signatures and trailing headers:

    LENGTH-IN-HEX[;chunk-signature=…] CRLF bytes CRLF … 0[;…] CRLF [x-amz-checksum-crc32:… CRLF] CRLF

Source: Amazon S3's pages "Transferring payload in multiple chunks" and "Checking object integrity".
"""

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request

from ..errors import AwsError

MAX_LINE_BYTES = 8_192  # of a chunk's head, or of a trailing header
CHECKSUM_HEADER = "x-amz-checksum-"


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


# Python has no CRC32C and no CRC64NVME: such checksums are accepted unread.
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


class ChunkDecoder:
    """Decodes a body in aws-chunked form, however it is split on its way.

    Attributes:
        trailers: the trailing headers, in lower case.
        is_complete: whether the last chunk and the trailing headers have arrived.
    """

    def __init__(self) -> None:
        self.trailers: dict[str, str] = {}
        self.is_complete = False
        self._buffer = b""
        self._remaining = 0  # bytes of the current chunk
        self._read_line = self._read_head

    def feed(self, received: bytes) -> Iterator[bytes]:
        """The parts of the body in what has been received."""
        self._buffer += received
        while self._buffer and not self.is_complete:
            if self._remaining:
                data, self._buffer = self._buffer[: self._remaining], self._buffer[self._remaining :]
                self._remaining -= len(data)
                yield data
                continue
            line, newline, rest = self._buffer.partition(b"\r\n")
            if not newline:
                if len(self._buffer) > MAX_LINE_BYTES:
                    raise _malformed()
                return
            self._buffer = rest
            self._read_line(line)

    def _read_head(self, line: bytes) -> None:
        try:
            self._remaining = int(line.partition(b";")[0], 16)
        except ValueError as error:
            raise _malformed() from error
        self._read_line = self._read_end_of_data if self._remaining else self._read_trailer

    def _read_end_of_data(self, line: bytes) -> None:
        if line:
            raise _malformed()
        self._read_line = self._read_head

    def _read_trailer(self, line: bytes) -> None:
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            self.trailers[name.strip().lower()] = value.strip()
        else:
            self.is_complete = True


async def write_body(http: Request, path: Path) -> Body:
    """Write the body of a request to a new file.

    Raises:
        AwsError: it does not match its length, its checksums or its chunked form; the file is removed.
        ClientDisconnect: the client left; the file is removed.
    """
    digests = {name: ALGORITHMS[name]() for name in _algorithms(http.headers)}
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    decoder = ChunkDecoder() if "aws-chunked" in http.headers.get("Content-Encoding", "") else None
    try:
        with path.open("xb") as file:
            async for received in http.stream():
                for data in decoder.feed(received) if decoder else (received,):
                    file.write(data)
                    size += len(data)
                    for digest in (md5, sha256, *digests.values()):
                        digest.update(data)
        checksums = {name: base64.b64encode(digest.digest()).decode() for name, digest in digests.items()}
        headers = {**http.headers, **(decoder.trailers if decoder else {})}
        _check_size(headers, size, decoder)
        _check_digests(headers, checksums, md5.digest(), sha256.hexdigest())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Body(size, md5.digest(), checksums)


def _algorithms(headers: Mapping[str, str]) -> list[str]:
    """The checksums that are to be calculated: those that the request has, or announces in `x-amz-trailer`."""
    announced = [name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",")]
    return [name for name in ALGORITHMS if f"{CHECKSUM_HEADER}{name.lower()}" in [*headers, *announced]]


def _check_size(headers: Mapping[str, str], size: int, decoder: ChunkDecoder | None) -> None:
    declared = headers.get("x-amz-decoded-content-length" if decoder else "content-length", str(size))
    if declared != str(size) or (decoder is not None and not decoder.is_complete):
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


def _malformed() -> AwsError:
    return AwsError("InvalidRequest", "The body is not in the form of aws-chunked.")
