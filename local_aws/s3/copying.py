"""Copies of objects, or of ranges of them: where the request says that the bytes are, and how they get there."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from ..errors import AwsError
from .conditions import check_conditions
from .objects import Objects, StoredObject
from .upload_body import Body

SOURCE_HEADER = "x-amz-copy-source"
BLOCK_BYTES = 1024**2  # copied at once


def copy_source(objects: Objects, headers: Mapping[str, str]) -> tuple[str, StoredObject]:
    """The bucket and the record of the object that is to be copied.

    Raises:
        AwsError: `InvalidArgument`, `NoSuchBucket`, `NoSuchKey`, or `PreconditionFailed`.
    """
    path, _, version = headers[SOURCE_HEADER].partition("?versionId=")
    bucket, _, key = unquote(path).removeprefix("/").partition("/")
    if not bucket or not key or version not in ("", "null"):
        raise AwsError("InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
    stored = objects.find(bucket, key)
    if stored is None:
        raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
    check_conditions(stored, headers, prefix=f"{SOURCE_HEADER}-")
    return bucket, stored


def copy_bytes(source: Path, target: Path, start: int, end: int) -> Body:
    """Copy a range of a file into a new one."""
    md5, remaining = hashlib.md5(usedforsecurity=False), end - start
    with source.open("rb") as reader, target.open("xb") as writer:
        reader.seek(start)
        while remaining > 0 and (data := reader.read(min(remaining, BLOCK_BYTES))):
            writer.write(data)
            md5.update(data)
            remaining -= len(data)
    return Body(end - start, md5.digest(), {})
