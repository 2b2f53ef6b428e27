"""A model's data, out of a bucket into a folder: an archive is unpacked, the files under a prefix are copied."""

import hashlib
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..files import UNFINISHED
from ..s3.objects import Objects, StoredObject


class CannotServe(Exception):
    """An endpoint fails; the text is its FailureReason."""


def bucket_url(container: Mapping[str, Any], objects: Objects) -> str | None:
    """The URL of a container's model data, if it is in a bucket of this runtime."""
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    url = container.get("ModelDataUrl") or source.get("S3Uri")
    return url if url and url.startswith("s3://") and objects.has_bucket(urlsplit(url).netloc) else None


def unpack(url: str, objects: Objects, data_folder: Path) -> Path:
    """The folder below `data_folder` with the model data at `url`; data that has been unpacked before is reused.

    Raises:
        CannotServe: the data is missing, or is not an archive that can be unpacked safely.
    """
    bucket, key = urlsplit(url).netloc, url.removeprefix("s3://").partition("/")[2]
    is_prefix = key.endswith("/")
    found = list(objects.under(bucket, key)) if is_prefix else _one(objects.find(bucket, key))
    if not found:
        raise CannotServe(
            f'Failed to download model data for container "container_1" from URL: "{url}". Please ensure that there is an '
            "object located at the URL and that the role passed to CreateModel has permissions to download the model."
        )
    # The ETags identify the contents: endpoints with one archive share a folder, and a new archive gets a new one.
    etags = " ".join([url, *(stored.etag for stored in found)])
    folder = data_folder / hashlib.sha256(etags.encode()).hexdigest()[:32]
    if not folder.exists():
        unfinished = folder.with_name(folder.name + UNFINISHED)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for stored in found:
            if is_prefix:
                _copy(objects.path(bucket, stored), unfinished, stored.key.removeprefix(key))
            else:
                _extract(objects.path(bucket, stored), unfinished, url)
        unfinished.rename(folder)
    return folder


def _one(stored: StoredObject | None) -> list[StoredObject]:
    return [] if stored is None else [stored]


def _extract(archive: Path, folder: Path, url: str) -> None:
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise CannotServe(
            f'Failed to extract model data archive for container "container_1" from URL "{url}". Please ensure that the '
            f"object located at the URL is a valid tar.gz archive. ({error})"
        ) from error


def _copy(file: Path, folder: Path, name: str) -> None:
    if not name or name.endswith("/"):
        return
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise CannotServe(f'Failed to download model data: the key "{name}" leads out of the model\'s folder.')
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
