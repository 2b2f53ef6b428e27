"""A checkpoint for SageMaker: packed into model.tar.gz and uploaded to S3, with progress."""

import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path

from botocore.exceptions import ClientError

from .aws import Account
from .progress import ShowProgress

EXCLUDED = {".git", "__pycache__", "checkpoints"}


def upload(account: Account, name: str, folder: Path, address: str, show: ShowProgress) -> None:
    """Pack a checkpoint and upload it.

    Args:
        name: the endpoint that errors name.
        folder: the checkpoint.
        address: `s3://BUCKET/KEY`; a missing bucket is created.
        show: receives the progress.

    Raises:
        LLMError: S3 refused, or could not be reached.
    """
    bucket, _, key = address.removeprefix("s3://").partition("/")
    with tempfile.TemporaryDirectory() as temporary:
        archive = Path(temporary) / "model.tar.gz"
        show("packing the checkpoint")
        pack(folder, archive)
        size, sent = archive.stat().st_size, 0

        def count(sent_bytes: int) -> None:
            nonlocal sent
            sent += sent_bytes
            show(f"uploading, {sent / 1e6:,.1f} of {size / 1e6:,.1f} MB")

        try:
            _ensure_bucket(account, bucket)
            # Another account's bucket of that name must not get the weights.
            account.s3.upload_file(
                str(archive), bucket, key, Callback=count, ExtraArgs={"ExpectedBucketOwner": account.number}
            )
        except Exception as error:
            raise account.as_error(name, error) from error


def pack(folder: Path, archive: Path) -> None:
    """Write a folder's files into a .tar.gz: at its top as the containers expect them, sorted, without owners."""
    # Weights hardly compress; the hub's cache contains links to the files.
    with tarfile.open(archive, "w:gz", compresslevel=1, dereference=True) as tar:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and not EXCLUDED.intersection(inside.parts):
                tar.add(path, str(inside), recursive=False, filter=_anonymous)


def remove(account: Account, name: str, address: str) -> None:
    """Delete an uploaded archive, if it exists."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    try:
        account.s3.delete_object(Bucket=bucket, Key=key, ExpectedBucketOwner=account.number)
    except account.s3.exceptions.NoSuchBucket:
        return
    except Exception as error:
        raise account.as_error(name, error) from error


def _ensure_bucket(account: Account, bucket: str) -> None:
    try:
        account.s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account.number)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        # us-east-1 is the one region that must not be named.
        configuration = {} if account.region == "us-east-1" else {"LocationConstraint": account.region}
        with suppress(account.s3.exceptions.BucketAlreadyOwnedByYou):
            account.s3.create_bucket(
                Bucket=bucket, **({"CreateBucketConfiguration": configuration} if configuration else {})
            )


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
