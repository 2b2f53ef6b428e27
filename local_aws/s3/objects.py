"""S3's buckets and objects as files, one folder a bucket.

    FOLDER/BUCKET/DIGEST.json                       an object's key, its facts, and where its bytes are
    FOLDER/BUCKET/data/UNIQUE-last-part-of-the-key  its bytes

No key becomes a path: the digest of the key names the record, so `..` and `/` mean nothing. Bytes are written first, and
count once the record names them; what a runtime that was killed left without a record is removed at the next start.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from ..refusals import Refused
from ..sagemaker.records import read_record, remove_unfinished, write_whole

BUCKET_NAME = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
MOST_KEY_BYTES = 1024
SHOWN_OF_KEY = 60  # characters of a key in the name of its file


@dataclass(frozen=True)
class StoredObject:
    """An object's record.

    Args:
        file: the name of the file with its bytes, inside the bucket's `data`.
        size: in bytes.
        etag: without quotes.
        modified: seconds since the epoch.
        checksums: by algorithm, base64.
        headers: what the client gave to be given back: Content-Type, `x-amz-meta-…`.
    """

    key: str
    file: str
    size: int
    etag: str
    modified: float
    checksums: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class Objects:
    """Buckets and objects.

    Args:
        folder: created if absent.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._buckets = {place.name: self._read(place) for place in folder.iterdir() if place.is_dir()}

    def buckets(self) -> dict[str, float]:
        """When each bucket was made, in seconds since the epoch."""
        return {name: (self._folder / name).stat().st_ctime for name in sorted(self._buckets)}

    def has_bucket(self, bucket: str) -> bool:
        """Whether it is here."""
        return bucket in self._buckets

    def create_bucket(self, bucket: str) -> None:
        """Make a bucket; one that is here already stays as it is.

        Raises:
            Refused: `InvalidBucketName`.
        """
        if not BUCKET_NAME.fullmatch(bucket):
            raise Refused("InvalidBucketName", "The specified bucket is not valid.")
        (self._folder / bucket / "data").mkdir(parents=True, exist_ok=True)
        self._buckets.setdefault(bucket, {})

    def delete_bucket(self, bucket: str) -> None:
        """Remove an empty bucket.

        Raises:
            Refused: `NoSuchBucket`, `BucketNotEmpty`.
        """
        if self._objects(bucket):
            raise Refused("BucketNotEmpty", "The bucket you tried to delete is not empty.", 409)
        del self._buckets[bucket]
        shutil.rmtree(self._folder / bucket)

    def new_file(self, bucket: str, key: str) -> Path:
        """A new name for the bytes of an object that is to be.

        Raises:
            Refused: `NoSuchBucket`, `KeyTooLongError`.
        """
        self._objects(bucket)
        if len(key.encode()) > MOST_KEY_BYTES:
            raise Refused("KeyTooLongError", "Your key is too long.")
        return self._folder / bucket / "data" / f"{uuid4().hex}-{quote(key, safe='')[-SHOWN_OF_KEY:]}"

    def put(self, bucket: str, made: StoredObject) -> None:
        """Let an object be what its record says, instead of what was there under its key."""
        before = self._objects(bucket).get(made.key)
        write_whole(self._record(bucket, made.key), json.dumps(asdict(made)).encode())
        self._objects(bucket)[made.key] = made
        if before is not None:
            self.path(bucket, before).unlink()

    def find(self, bucket: str, key: str) -> StoredObject | None:
        """An object's record, if it is there. Raises Refused: `NoSuchBucket`."""
        return self._objects(bucket).get(key)

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object; one that is not there is no error. Raises Refused: `NoSuchBucket`."""
        gone = self._objects(bucket).pop(key, None)
        if gone is not None:
            self._record(bucket, key).unlink()
            self.path(bucket, gone).unlink()

    def under(self, bucket: str, prefix: str = "") -> Iterator[StoredObject]:
        """The objects whose keys begin so, in the order of their keys' bytes. Raises Refused: `NoSuchBucket`."""
        objects = dict(self._objects(bucket))
        return (objects[key] for key in sorted(objects, key=str.encode) if key.startswith(prefix))

    def path(self, bucket: str, stored: StoredObject) -> Path:
        """The file with an object's bytes."""
        return self._folder / bucket / "data" / stored.file

    def _objects(self, bucket: str) -> dict[str, StoredObject]:
        if bucket not in self._buckets:
            raise Refused("NoSuchBucket", "The specified bucket does not exist", 404)
        return self._buckets[bucket]

    def _record(self, bucket: str, key: str) -> Path:
        return self._folder / bucket / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def _read(self, place: Path) -> dict[str, StoredObject]:
        (place / "data").mkdir(exist_ok=True)
        remove_unfinished(place)
        found = [StoredObject(**read_record(path)) for path in place.glob("*.json")]
        for orphan in {path.name for path in (place / "data").iterdir()} - {one.file for one in found}:
            (place / "data" / orphan).unlink()
        return {one.key: one for one in found}
