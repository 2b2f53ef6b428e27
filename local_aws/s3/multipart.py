"""Multipart uploads: parts are files until they are joined, and end with the runtime if they are not."""

import base64
import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from ..refusals import Refused
from .uploads import ALGORITHMS, Uploaded

LEAST_PART_BYTES = 5 * 1024**2  # of all parts but the last
MOST_PARTS = 10_000
COPIED_AT_A_TIME = 1024**2  # bytes


@dataclass
class Upload:
    """An upload that has begun: where its object will be, what that will say, and its parts by number."""

    bucket: str
    key: str
    headers: Mapping[str, str]
    folder: Path
    parts: dict[int, tuple[Path, Uploaded]] = field(default_factory=dict)


class Uploads:
    """The uploads that have begun.

    Args:
        folder: parts are below it; what an earlier runtime left there is removed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        self._begun: dict[str, Upload] = {}

    def begin(self, bucket: str, key: str, headers: Mapping[str, str]) -> str:
        """Begin an upload and give its id."""
        upload_id = uuid4().hex
        self._begun[upload_id] = Upload(bucket, key, headers, self._folder / upload_id)
        self._begun[upload_id].folder.mkdir(parents=True)
        return upload_id

    def find(self, upload_id: str, bucket: str, key: str) -> Upload:
        """An upload. Raises Refused: `NoSuchUpload`."""
        upload = self._begun.get(upload_id)
        if upload is None or (upload.bucket, upload.key) != (bucket, key):
            message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
            raise Refused("NoSuchUpload", message + "aborted or completed.", 404)
        return upload

    def end(self, upload_id: str) -> None:
        """Forget an upload and its parts."""
        shutil.rmtree(self._begun.pop(upload_id).folder, ignore_errors=True)


def part_number(text: str) -> int:
    """A part's number. Raises Refused: `InvalidArgument`."""
    if not text.isdecimal() or not 1 <= int(text) <= MOST_PARTS:
        raise Refused("InvalidArgument", f"Part number must be an integer between 1 and {MOST_PARTS}, inclusive")
    return int(text)


def chosen_parts(upload: Upload, listed: Sequence[tuple[int, str]]) -> list[tuple[Path, Uploaded]]:
    """The parts that the client lists, by number and ETag, in order.

    Raises:
        Refused: none, one that has not come or has come otherwise, one out of order, or one that is too small.
    """
    numbers = [number for number, _ in listed]
    if not listed:
        raise Refused("MalformedXML", "The XML you provided was not well-formed or did not validate: it lists no part")
    if numbers != sorted(set(numbers)):
        raise Refused("InvalidPartOrder", "The list of parts was not in ascending order.")
    for number, etag in listed:
        if number not in upload.parts or upload.parts[number][1].md5.hex() != etag:
            message = f"One or more of the specified parts could not be found (part {number})."
            raise Refused("InvalidPart", f"{message} The part may not have been uploaded, or its ETag may not match.")
    chosen = [upload.parts[number] for number in numbers]
    for _, part in chosen[:-1]:
        if part.size < LEAST_PART_BYTES:
            message = "Your proposed upload is smaller than the minimum allowed size"
            raise Refused("EntityTooSmall", f"{message}: a part has {part.size} bytes, fewer than {LEAST_PART_BYTES}.")
    return chosen


def joined(parts: Sequence[tuple[Path, Uploaded]], path: Path) -> tuple[int, str, dict[str, str]]:
    """Write the parts into one file; gives its size, ETag, and checksums of checksums as S3 makes them."""
    with path.open("xb") as file:
        for piece, _ in parts:
            with piece.open("rb") as source:
                shutil.copyfileobj(source, file, COPIED_AT_A_TIME)
    came = [part for _, part in parts]
    etag = hashlib.md5(b"".join(part.md5 for part in came), usedforsecurity=False).hexdigest()
    checksums = {}
    for name in set.intersection(*(set(part.checksums) for part in came)):
        digest = ALGORITHMS[name]()
        for part in came:
            digest.update(base64.b64decode(part.checksums[name]))
        checksums[name] = f"{base64.b64encode(digest.digest()).decode()}-{len(parts)}"
    return sum(part.size for part in came), f"{etag}-{len(parts)}", checksums
