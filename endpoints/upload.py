"""A checkpoint for SageMaker: packed into model.tar.gz and uploaded to S3, with progress; and removed again.

An upload is recognised by three facts together: its bucket and key, which contain the deployment's random identity, and
the same identity in the object's metadata. Nothing else is ever deleted, however similar its key looks.
"""

import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from .aws import Account
from .progress import ShowProgress

EXCLUDED = {".git", "__pycache__", "checkpoints"}
PREFIX = "sagechain/"
KEY = re.compile(PREFIX + r"[a-zA-Z0-9-]{1,63}/[0-9a-f]{32}/model\.tar\.gz")
IDENTITY = "sagechain-deployment"  # the object's metadata with the identity of its deployment
MISSING = ("404", "NoSuchBucket", "NoSuchKey", "NoSuchUpload")


def archive_address(region: str, account: str, name: str, identity: str) -> str:
    """The S3 address of a deployment's packed checkpoint, in the bucket of SageMaker's own tools."""
    return f"s3://{_bucket(region, account)}/{PREFIX}{name}/{identity}/model.tar.gz"


def upload(account: Account, name: str, folder: Path, address: str, identity: str, show: ShowProgress) -> None:
    """Pack a checkpoint and upload it.

    Args:
        name: the endpoint that errors name.
        folder: the checkpoint.
        address: `s3://BUCKET/KEY`; a missing bucket is created.
        identity: of the deployment that it is for.
        show: receives the progress.

    Raises:
        LLMError: S3 refused, or could not be reached.
    """
    where = _where(account, address)
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
            # Another account's bucket of that name must not get the weights.
            owner = where.pop("ExpectedBucketOwner")
            extra = {"ExpectedBucketOwner": owner, "Metadata": {IDENTITY: identity}}
            account.s3.upload_file(str(archive), *where.values(), Callback=count, ExtraArgs=extra)
        except Exception as error:
            raise account.as_error(name, error) from error


def ensure_bucket(account: Account, name: str, address: str) -> bool:
    """Create the bucket of an upload if it does not exist; returns whether it was created."""
    where = _where(account, address)
    try:
        account.s3.head_bucket(Bucket=where["Bucket"], ExpectedBucketOwner=account.number)
        return False
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise account.as_error(name, error) from error
    except Exception as error:
        raise account.as_error(name, error) from error
    # us-east-1 is the one region that must not be named.
    configuration = {} if account.region == "us-east-1" else {"LocationConstraint": account.region}
    options = {"CreateBucketConfiguration": configuration} if configuration else {}
    try:
        account.s3.create_bucket(Bucket=where["Bucket"], **options)
    except account.s3.exceptions.BucketAlreadyOwnedByYou:
        return False
    except Exception as error:
        raise account.as_error(name, error) from error
    return True


def pack(folder: Path, archive: Path) -> None:
    """Write a folder's files into a .tar.gz: at its top as the containers expect them, sorted, without owners."""
    # Weights hardly compress; the hub's cache contains links to the files.
    with tarfile.open(archive, "w:gz", compresslevel=1, dereference=True) as tar:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and not EXCLUDED.intersection(inside.parts):
                tar.add(path, str(inside), recursive=False, filter=_anonymous)


def remove(account: Account, name: str, address: str, identity: str, *, is_known: bool) -> bool:
    """Delete the archive that was uploaded for a deployment; anything else at that address is left alone.

    Args:
        identity: of the deployment, as the object's metadata must have it.
        is_known: whether the deployment's own record names the address. Then the parts of an interrupted upload are
            removed too, and a role that may not read the object may still delete it.

    Returns:
        Whether there was something to delete.
    """
    where = _where(account, address)
    try:
        if is_known:
            for unfinished in _unfinished_uploads(account, where["Bucket"], where["Key"]):
                if unfinished["Key"] == where["Key"]:
                    _abort(account, where, unfinished["UploadId"])
        version = _uploaded_version(account, where, identity, is_known=is_known)
        if version is not None:
            account.s3.delete_object(**where, **version)
    except Exception as error:
        if _is_missing(error):
            return False
        raise account.as_error(name, error) from error
    return version is not None


def abort_unfinished(account: Account, before: float) -> list[str]:
    """Remove the parts of uploads of sagechain that began before a time and never ended; returns their addresses.

    Args:
        before: seconds since the epoch.
    """
    bucket, aborted = _bucket(account.region, account.number), []
    try:
        for row in _unfinished_uploads(account, bucket, PREFIX):
            if KEY.fullmatch(row["Key"]) and row["Initiated"].timestamp() < before:
                address = f"s3://{bucket}/{row['Key']}"
                _abort(account, _where(account, address), row["UploadId"])
                aborted.append(address)
    except Exception as error:
        if not _is_missing(error):
            raise account.as_error(bucket, error) from error
    return aborted


def removal_requests(account: Account, address: str) -> dict[str, Callable[[], Any]]:
    """The requests of `remove`, by the IAM action that allows each, at an address where there is nothing yet."""
    where = _where(account, address)
    bucket, key = where["Bucket"], where["Key"]
    return {
        "s3:ListBucketMultipartUploads": lambda: list(_unfinished_uploads(account, bucket, key)),
        "s3:AbortMultipartUpload": lambda: account.s3.abort_multipart_upload(**where, UploadId="none"),
        "s3:GetObject": lambda: account.s3.head_object(**where),
        "s3:DeleteObject": lambda: _delete_nothing(account, where),
    }


def _delete_nothing(account: Account, where: dict[str, str]) -> None:
    """Delete an object that does not exist, and the marker that a bucket with versions puts there."""
    marker = account.s3.delete_object(**where).get("VersionId", "null")
    if marker != "null":
        account.s3.delete_object(**where, VersionId=marker)


def is_refused(error: Exception) -> bool:
    """Whether S3 answered that the request is not permitted."""
    return isinstance(error, ClientError) and error.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def _is_missing(error: Exception) -> bool:
    """Whether S3 answered that there is no such bucket, object or upload."""
    return isinstance(error, ClientError) and error.response["Error"].get("Code") in MISSING


def _uploaded_version(
    account: Account, where: dict[str, str], identity: str, *, is_known: bool
) -> dict[str, str] | None:
    """What identifies the uploaded version of an object; None if another object is there."""
    try:
        head = account.s3.head_object(**where)
    except ClientError as error:
        if is_known and is_refused(error):
            return {}
        raise
    if head["Metadata"].get(IDENTITY) != identity:
        return None
    version = head.get("VersionId", "null")  # in a bucket with versions a plain deletion would keep the bytes
    return {} if version == "null" else {"VersionId": version}


def _abort(account: Account, where: dict[str, str], upload_id: str) -> None:
    with suppress(account.s3.exceptions.NoSuchUpload):  # it has ended since the list was read
        account.s3.abort_multipart_upload(**where, UploadId=upload_id)


def _unfinished_uploads(account: Account, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    pages = account.s3.get_paginator("list_multipart_uploads").paginate(
        Bucket=bucket, Prefix=prefix, ExpectedBucketOwner=account.number
    )
    for page in pages:
        yield from page.get("Uploads", ())


def _bucket(region: str, account: str) -> str:
    return f"sagemaker-{region}-{account}"


def _where(account: Account, address: str) -> dict[str, str]:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key, "ExpectedBucketOwner": account.number}


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
