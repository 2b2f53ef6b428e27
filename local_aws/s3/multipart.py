"""Multipart uploads: each part is a file until they are joined; unfinished uploads end with the runtime."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from ..errors import AwsError
from .upload_body import Body

MIN_PART_BYTES = 5 * 1024**2  # of all parts but the last
MAX_PARTS = 10_000
COPY_BYTES = 1024**2  # copied at once


@dataclass
class Upload:
    """An unfinished upload: the object that it is for, that object's headers, and the parts by number."""

    bucket: str
    key: str
    headers: Mapping[str, str]
    folder: Path
    parts: dict[int, tuple[Path, Body]] = field(default_factory=dict)


class Uploads:
    """The unfinished uploads.

    Args:
        folder: for their parts; what an earlier runtime left there is removed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        self._uploads: dict[str, Upload] = {}

    def create(self, bucket: str, key: str, headers: Mapping[str, str]) -> str:
        """Start an upload and return its id."""
        upload_id = uuid4().hex
        upload = Upload(bucket, key, headers, self._folder / upload_id)
        upload.folder.mkdir(parents=True)
        self._uploads[upload_id] = upload
        return upload_id

    def find(self, upload_id: str, bucket: str, key: str) -> Upload:
        """An upload. Raises AwsError: `NoSuchUpload`."""
        upload = self._uploads.get(upload_id)
        if upload is None or (upload.bucket, upload.key) != (bucket, key):
            message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
            raise AwsError("NoSuchUpload", message + "aborted or completed.", 404)
        return upload

    def remove(self, upload_id: str) -> None:
        """Remove an upload and its parts."""
        shutil.rmtree(self._uploads.pop(upload_id).folder, ignore_errors=True)


def parse_part_number(text: str) -> int:
    """A part's number. Raises AwsError: `InvalidArgument`."""
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PARTS:
        raise AwsError("InvalidArgument", f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive")
    return int(text)


def select_parts(upload: Upload, listed: Sequence[tuple[int, str]]) -> list[tuple[Path, Body]]:
    """The parts that the client lists, by number and ETag, in order.

    Raises:
        AwsError: the list is empty or not in order, a part is missing or differs from its ETag, or is too small.
    """
    numbers = [number for number, _ in listed]
    if not listed:
        raise AwsError("MalformedXML", "The XML you provided was not well-formed or did not validate: it lists no part")
    if numbers != sorted(set(numbers)):
        raise AwsError("InvalidPartOrder", "The list of parts was not in ascending order.")
    for number, etag in listed:
        if number not in upload.parts or upload.parts[number][1].etag != etag:
            message = f"One or more of the specified parts could not be found (part {number})."
            raise AwsError("InvalidPart", f"{message} The part may not have been uploaded, or its ETag may not match.")
    selected = [upload.parts[number] for number in numbers]
    for _, body in selected[:-1]:
        if body.size < MIN_PART_BYTES:
            message = "Your proposed upload is smaller than the minimum allowed size"
            raise AwsError("EntityTooSmall", f"{message}: a part has {body.size} bytes, fewer than {MIN_PART_BYTES}.")
    return selected


def join_parts(parts: Sequence[tuple[Path, Body]], path: Path) -> tuple[int, str]:
    """Write the parts into one file; returns its size and its ETag, which is S3's digest of the parts' digests."""
    with path.open("xb") as file:
        for part_path, _ in parts:
            with part_path.open("rb") as part:
                shutil.copyfileobj(part, file, COPY_BYTES)
    digest = hashlib.md5(b"".join(body.md5 for _, body in parts), usedforsecurity=False)
    return sum(body.size for _, body in parts), f"{digest.hexdigest()}-{len(parts)}"
