"""Multipart uploads: each part is a file until they are joined; unfinished uploads end with the runtime."""

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from uuid import uuid4

from ..errors import AwsError
from .upload_body import Body

MIN_PART_BYTES = 5 * 1024**2  # of all parts but the last
MAX_PARTS = 10_000
COPY_BYTES = 1024**2  # copied at once


@dataclass(frozen=True)
class Part:
    """A part that has been uploaded: its file, its contents, and when, in seconds since the epoch."""

    path: Path
    body: Body
    modified: float


@dataclass(frozen=True)
class Upload:
    """An unfinished upload: the object that it is for, that object's headers, and the parts by number.

    Args:
        started: seconds since the epoch.
    """

    id: str
    bucket: str
    key: str
    headers: Mapping[str, str]
    folder: Path
    started: float
    parts: dict[int, Part] = field(default_factory=dict)

    @property
    def order(self) -> str:
        """Its place among the uploads of its key in a list: they are in the order in which they were started."""
        return self.id


class Uploads:
    """The unfinished uploads.

    Args:
        folder: for their parts; what an earlier runtime left there is removed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        self._uploads: dict[str, Upload] = {}
        self._numbers = count()

    def create(self, bucket: str, key: str, headers: Mapping[str, str], now: float) -> str:
        """Start an upload and return its id."""
        upload_id = f"{next(self._numbers):08x}{uuid4().hex}"
        upload = Upload(upload_id, bucket, key, headers, self._folder / upload_id, now)
        upload.folder.mkdir(parents=True)
        self._uploads[upload_id] = upload
        return upload_id

    def of_bucket(self, bucket: str) -> list[Upload]:
        """The uploads to a bucket, ordered by their keys' bytes and then by their start."""
        uploads = [upload for upload in self._uploads.values() if upload.bucket == bucket]
        return sorted(uploads, key=lambda upload: (upload.key.encode(), upload.id))

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
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= MAX_PARTS:
        raise AwsError("InvalidArgument", f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive")
    return int(text)


def select_parts(upload: Upload, listed: Sequence[tuple[int, str]]) -> list[Part]:
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
        if number not in upload.parts or upload.parts[number].body.etag != etag:
            message = f"One or more of the specified parts could not be found (part {number})."
            raise AwsError("InvalidPart", f"{message} The part may not have been uploaded, or its ETag may not match.")
    selected = [upload.parts[number] for number in numbers]
    for part in selected[:-1]:
        if part.body.size < MIN_PART_BYTES:
            message = "Your proposed upload is smaller than the minimum allowed size"
            raise AwsError(
                "EntityTooSmall", f"{message}: a part has {part.body.size} bytes, fewer than {MIN_PART_BYTES}."
            )
    return selected


def join_parts(parts: Sequence[Part], path: Path) -> tuple[int, str]:
    """Write the parts into one file; returns its size and its ETag, which is S3's digest of the parts' digests."""
    with path.open("xb") as file:
        for part in parts:
            with part.path.open("rb") as part_file:
                shutil.copyfileobj(part_file, file, COPY_BYTES)
    digest = hashlib.md5(b"".join(part.body.md5 for part in parts), usedforsecurity=False)
    return sum(part.body.size for part in parts), f"{digest.hexdigest()}-{len(parts)}"
