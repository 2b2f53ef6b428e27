"""A checkpoint as SageMaker wants it: packed into model.tar.gz, uploaded to S3, with progress."""

import tarfile
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from botocore.exceptions import ClientError

from .aws import Account

UNWANTED = {".git", "__pycache__", "checkpoints"}


def upload(account: Account, name: str, folder: Path, address: str, show: Callable[[str], None]) -> None:
    """Pack a checkpoint and upload it.

    Args:
        name: of the endpoint, for errors.
        folder: the checkpoint.
        address: `s3://BUCKET/KEY`; the bucket is made where it is not there yet.
        show: is told how far it is.

    Raises:
        LLMError: S3 refused, or could not be reached.
    """
    bucket, _, key = address.removeprefix("s3://").partition("/")
    with tempfile.TemporaryDirectory() as temporary:
        archive = Path(temporary) / "model.tar.gz"
        show("packing the checkpoint")
        pack(folder, archive)
        size, sent = archive.stat().st_size, 0

        def told(more: int) -> None:
            nonlocal sent
            sent += more
            show(f"uploading, {sent / 1e6:,.1f} of {size / 1e6:,.1f} MB")

        try:
            _make_bucket(account, bucket)
            # A bucket of that name that is somebody else's must not get the weights.
            account.s3.upload_file(
                str(archive), bucket, key, Callback=told, ExtraArgs={"ExpectedBucketOwner": account.number}
            )
        except Exception as error:
            raise account.told(name, error) from error


def pack(folder: Path, archive: Path) -> None:
    """Write a folder's files into a .tar.gz, without owners and in order, at its top as the containers want them."""
    # Weights hardly compress; the hub's cache holds links to the files.
    with tarfile.open(archive, "w:gz", compresslevel=1, dereference=True) as written:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and not UNWANTED.intersection(inside.parts):
                written.add(path, str(inside), recursive=False, filter=_anonymous)


def remove(account: Account, name: str, address: str) -> None:
    """Delete an uploaded archive; one that is not there is gone already."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    try:
        account.s3.delete_object(Bucket=bucket, Key=key, ExpectedBucketOwner=account.number)
    except account.s3.exceptions.NoSuchBucket:
        return
    except Exception as error:
        raise account.told(name, error) from error


def _make_bucket(account: Account, bucket: str) -> None:
    try:
        account.s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account.number)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        # us-east-1 is the one region that must not be named.
        place = {} if account.region == "us-east-1" else {"LocationConstraint": account.region}
        with suppress(account.s3.exceptions.BucketAlreadyOwnedByYou):
            account.s3.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": place} if place else {}))


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
