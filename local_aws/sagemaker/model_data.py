"""A model's data out of a bucket: an archive unpacked, or the files under a prefix, in a folder to load a model from."""

import hashlib
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..s3.objects import Objects
from .records import UNFINISHED


class CannotServe(Exception):
    """An endpoint comes to nothing; the text is its FailureReason."""


def data_url(container: Mapping[str, Any], objects: Objects) -> str | None:
    """Where a container's model data is, if that is a bucket of this runtime."""
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    url = container.get("ModelDataUrl") or source.get("S3Uri")
    return url if url and url.startswith("s3://") and objects.has_bucket(urlsplit(url).netloc) else None


def unpacked(url: str, objects: Objects, into: Path) -> Path:
    """A folder below `into` with the model data at `url`; what has been unpacked before is there already.

    Raises:
        CannotServe: nothing is there, or it is no archive that can be unpacked safely.
    """
    bucket, key = urlsplit(url).netloc, url.removeprefix("s3://").partition("/")[2]
    found = list(objects.under(bucket, key)) if key.endswith("/") else [objects.find(bucket, key)]
    stored = [one for one in found if one is not None]
    if not stored:
        raise CannotServe(
            f'Failed to download model data for container "container_1" from URL: "{url}". Please ensure that there is an '
            "object located at the URL and that the role passed to CreateModel has permissions to download the model."
        )
    # The ETags name what the folder holds, so that endpoints with one archive share it, and a new archive is unpacked anew.
    folder = into / hashlib.sha256(" ".join([url, *(one.etag for one in stored)]).encode()).hexdigest()[:32]
    if not folder.exists():
        unfinished = folder.with_name(folder.name + UNFINISHED)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        if key.endswith("/"):
            for one in stored:
                _copy(objects.path(bucket, one), unfinished, one.key.removeprefix(key))
        else:
            _unpack(objects.path(bucket, stored[0]), unfinished, url)
        unfinished.rename(folder)
    return folder


def _unpack(archive: Path, folder: Path, url: str) -> None:
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
    place = (folder / name).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise CannotServe(f'Failed to download model data: the key "{name}" leads out of the model\'s folder.')
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, place)
