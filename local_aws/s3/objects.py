"""Buckets and objects as files, one folder a bucket.

    FOLDER/BUCKET/region                            where the bucket was created; absent for the default
    FOLDER/BUCKET/DIGEST.json                       an object's record: its key, its facts, and the name of its file
    FOLDER/BUCKET/data/UNIQUE-last-part-of-the-key  its bytes

A key never becomes a path: the digest of the key names the record, so `..` and `/` have no effect. The bytes are written
first, and count once a record names them; a file that no record names is removed at the next start.
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

from ..account import DEFAULT_REGION
from ..errors import AwsError
from ..files import read_json, remove_unfinished, write_atomically

BUCKET_NAME = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
MAX_KEY_BYTES = 1024
REGION_FILE = "region"
KEY_CHARACTERS = 60  # of a key in the name of its file, for people who look into the folder


@dataclass(frozen=True)
class StoredObject:
    """An object's record.

    Args:
        file: the name of the file with its bytes, in the bucket's `data`.
        size: in bytes.
        etag: without quotes.
        modified: seconds since the epoch.
        checksums: by algorithm, base64.
        headers: those of the upload that are returned with the object: Content-Type, `x-amz-meta-…`.
    """

    key: str
    file: str
    size: int
    etag: str
    modified: float
    checksums: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def order(self) -> str:
        """Its place among the items of its key in a list: it is the only one."""
        return ""


class Objects:
    """Buckets and objects.

    Args:
        folder: created if absent.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._buckets = {path.name: self._read(path) for path in folder.iterdir() if path.is_dir()}

    def buckets(self) -> dict[str, float]:
        """When each bucket was created, in seconds since the epoch."""
        return {name: (self._folder / name).stat().st_ctime for name in sorted(self._buckets)}

    def has_bucket(self, bucket: str) -> bool:
        """Whether there is such a bucket."""
        return bucket in self._buckets

    def create_bucket(self, bucket: str, region: str) -> None:
        """Create a bucket, unless it exists. Raises AwsError: `InvalidBucketName`."""
        if not BUCKET_NAME.fullmatch(bucket):
            raise AwsError("InvalidBucketName", "The specified bucket is not valid.")
        if bucket in self._buckets:
            return
        (self._folder / bucket / "data").mkdir(parents=True, exist_ok=True)
        if region != DEFAULT_REGION:
            write_atomically(self._folder / bucket / REGION_FILE, region.encode())
        self._buckets[bucket] = {}

    def region(self, bucket: str) -> str:
        """Where a bucket was created. Raises AwsError: `NoSuchBucket`."""
        self._objects(bucket)
        path = self._folder / bucket / REGION_FILE
        return path.read_text() if path.exists() else DEFAULT_REGION

    def delete_bucket(self, bucket: str) -> None:
        """Remove an empty bucket. Raises AwsError: `NoSuchBucket`, `BucketNotEmpty`."""
        if self._objects(bucket):
            raise AwsError("BucketNotEmpty", "The bucket you tried to delete is not empty.", 409)
        del self._buckets[bucket]
        shutil.rmtree(self._folder / bucket)

    def check_key(self, bucket: str, key: str) -> None:
        """Check that an object can be stored. Raises AwsError: `NoSuchBucket`, `KeyTooLongError`."""
        self._objects(bucket)
        if len(key.encode()) > MAX_KEY_BYTES:
            raise AwsError("KeyTooLongError", "Your key is too long.")

    def new_file(self, bucket: str, key: str) -> Path:
        """The path of a new file for an object's bytes. Raises AwsError: `NoSuchBucket`, `KeyTooLongError`."""
        self.check_key(bucket, key)
        return self._folder / bucket / "data" / f"{uuid4().hex}-{quote(key, safe='')[-KEY_CHARACTERS:]}"

    def put(self, bucket: str, stored: StoredObject) -> None:
        """Add an object whose file has been written, in the place of an earlier one under its key."""
        earlier = self._objects(bucket).get(stored.key)
        write_atomically(self._record(bucket, stored.key), json.dumps(asdict(stored)).encode())
        self._objects(bucket)[stored.key] = stored
        if earlier is not None:
            self.path(bucket, earlier).unlink()

    def find(self, bucket: str, key: str) -> StoredObject | None:
        """An object's record, if there is one. Raises AwsError: `NoSuchBucket`."""
        return self._objects(bucket).get(key)

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object, if there is one. Raises AwsError: `NoSuchBucket`."""
        deleted = self._objects(bucket).pop(key, None)
        if deleted is not None:
            self._record(bucket, key).unlink()
            self.path(bucket, deleted).unlink()

    def under(self, bucket: str, prefix: str = "") -> Iterator[StoredObject]:
        """The objects whose keys start with a prefix, ordered by their keys' bytes. Raises AwsError: `NoSuchBucket`."""
        objects = dict(self._objects(bucket))
        return (objects[key] for key in sorted(objects, key=str.encode) if key.startswith(prefix))

    def path(self, bucket: str, stored: StoredObject) -> Path:
        """The file with an object's bytes."""
        return self._folder / bucket / "data" / stored.file

    def _objects(self, bucket: str) -> dict[str, StoredObject]:
        if bucket not in self._buckets:
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
        return self._buckets[bucket]

    def _record(self, bucket: str, key: str) -> Path:
        return self._folder / bucket / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def _read(self, folder: Path) -> dict[str, StoredObject]:
        (folder / "data").mkdir(exist_ok=True)
        remove_unfinished(folder)
        objects = [StoredObject(**read_json(path)) for path in folder.glob("*.json")]
        for orphan in {path.name for path in (folder / "data").iterdir()} - {stored.file for stored in objects}:
            (folder / "data" / orphan).unlink()
        return {stored.key: stored for stored in objects}
