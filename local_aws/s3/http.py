"""S3's HTTP, as far as boto3's `upload_file`, `download_file` and a deployment need it.

Bodies are streamed. `objects_requests.py` tells which operation a request is, `objects.py` keeps the files.

Source: Amazon S3's API reference.
"""

import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import IO

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ..refusals import Refused
from ..requests import Call
from ..sagemaker.failures import Failure
from .listing import page_of_objects
from .multipart import Uploads, chosen_parts, joined, part_number
from .objects import Objects, StoredObject
from .requests import Asked, asked_of, operation_of
from .uploads import CHECKSUM_HEADER, uploaded
from .xml import keys_to_delete, list_of_buckets, list_of_objects, parts_listed, refusal_in_xml, xml

SENT_AT_A_TIME = 256 * 1024  # bytes
KEPT_HEADERS = ("content-type", "cache-control", "content-disposition", "content-language", "content-encoding")
UNTYPED = "binary/octet-stream"

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class ObjectsService:
    """The operations on buckets and objects.

    Args:
        objects: the buckets.
        uploads: the multipart uploads.
    """

    def __init__(self, objects: Objects, uploads: Uploads) -> None:
        self._objects, self._uploads = objects, uploads
        self._operations: dict[str, Callable[[Asked], Awaitable[Response]]] = {
            "ListBuckets": self._list_buckets,
            "CreateBucket": self._create_bucket,
            "HeadBucket": self._head_bucket,
            "DeleteBucket": self._delete_bucket,
            "ListObjectsV2": self._list_objects,
            "DeleteObjects": self._delete_objects,
            "PutObject": self._put_object,
            "GetObject": self._get_object,
            "HeadObject": self._get_object,
            "DeleteObject": self._delete_object,
            "CreateMultipartUpload": self._create_upload,
            "UploadPart": self._upload_part,
            "CompleteMultipartUpload": self._complete_upload,
            "AbortMultipartUpload": self._abort_upload,
        }

    def call(self, request: Request) -> Call:
        """What a request asks for."""
        try:
            asked = asked_of(request)
            operation = operation_of(asked)
        except Refused as refused:
            return Call("", "*", b"", _refusing(refused), refusal_in_xml)

        async def carry_out(failure: Failure) -> Response:
            return await self._operations[operation](asked)

        resource = "arn:aws:s3:::" + "/".join(part for part in (asked.bucket, asked.key) if part)
        return Call(operation, resource, b"", carry_out, refusal_in_xml)

    async def _list_buckets(self, asked: Asked) -> Response:
        return list_of_buckets(self._objects.buckets())

    async def _create_bucket(self, asked: Asked) -> Response:
        await asked.request.body()
        self._objects.create_bucket(asked.bucket)
        return Response(headers={"Location": f"/{asked.bucket}"})

    async def _head_bucket(self, asked: Asked) -> Response:
        self._objects.under(asked.bucket)
        return Response()

    async def _delete_bucket(self, asked: Asked) -> Response:
        self._objects.delete_bucket(asked.bucket)
        return Response(status_code=204)

    async def _list_objects(self, asked: Asked) -> Response:
        return list_of_objects(page_of_objects(self._objects, asked.bucket, asked.query), asked.bucket, asked.query)

    async def _delete_objects(self, asked: Asked) -> Response:
        keys, quiet = keys_to_delete(await asked.request.body())
        for key in keys:
            self._objects.delete(asked.bucket, key)
        return xml("DeleteResult", {"Deleted": [] if quiet else [{"Key": key} for key in keys]})

    async def _delete_object(self, asked: Asked) -> Response:
        self._objects.delete(asked.bucket, asked.key)
        return Response(status_code=204)

    async def _put_object(self, asked: Asked) -> Response:
        headers = asked.request.headers
        path = self._objects.new_file(asked.bucket, asked.key)
        if headers.get("If-None-Match") == "*" and self._objects.find(asked.bucket, asked.key):
            raise _failed_condition()
        got = await uploaded(asked.request, path)
        etag = got.md5.hex()
        self._objects.put(
            asked.bucket,
            StoredObject(asked.key, path.name, got.size, etag, time.time(), got.checksums, _kept(headers)),
        )
        return Response(headers={"ETag": f'"{etag}"', **_checksum_headers(got.checksums)})

    async def _get_object(self, asked: Asked) -> Response:
        stored = self._objects.find(asked.bucket, asked.key)
        if stored is None:
            raise Refused("NoSuchKey", "The specified key does not exist.", 404)
        given = asked.request.headers
        if given.get("If-Match", "*").strip('"') not in ("*", stored.etag):
            raise _failed_condition()
        headers = {
            "content-type": UNTYPED,
            **stored.headers,
            "ETag": f'"{stored.etag}"',
            "Last-Modified": formatdate(stored.modified, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        if given.get("If-None-Match", "").strip('"') == stored.etag:
            return Response(status_code=304, headers={"ETag": headers["ETag"]})
        start, end = _range(given.get("Range", ""), stored.size)
        partial = (start, end) != (0, stored.size)
        if partial:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
        elif given.get("x-amz-checksum-mode", "").upper() == "ENABLED":
            headers |= _checksum_headers(stored.checksums)
        headers["Content-Length"] = str(end - start)
        status = 206 if partial else 200
        if asked.request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        file = self._objects.path(asked.bucket, stored).open(
            "rb"
        )  # still there to be read when it is replaced meanwhile
        return StreamingResponse(_read(file, start, end), status, headers)

    async def _create_upload(self, asked: Asked) -> Response:
        self._objects.under(asked.bucket)
        upload_id = self._uploads.begin(asked.bucket, asked.key, _kept(asked.request.headers))
        return xml("InitiateMultipartUploadResult", {"Bucket": asked.bucket, "Key": asked.key, "UploadId": upload_id})

    async def _upload_part(self, asked: Asked) -> Response:
        upload = self._uploads.find(asked.query["uploadId"], asked.bucket, asked.key)
        number = part_number(asked.query.get("partNumber", ""))
        path = upload.folder / f"{number}-{time.monotonic_ns()}"
        got = await uploaded(asked.request, path)
        upload.parts[number] = (path, got)
        return Response(headers={"ETag": f'"{got.md5.hex()}"', **_checksum_headers(got.checksums)})

    async def _complete_upload(self, asked: Asked) -> Response:
        upload = self._uploads.find(asked.query["uploadId"], asked.bucket, asked.key)
        parts = chosen_parts(upload, parts_listed(await asked.request.body()))
        path: Path = self._objects.new_file(asked.bucket, asked.key)
        size, etag, checksums = await anyio.to_thread.run_sync(joined, parts, path)
        made = StoredObject(asked.key, path.name, size, etag, time.time(), checksums, upload.headers)
        self._objects.put(asked.bucket, made)
        self._uploads.end(asked.query["uploadId"])
        return xml(
            "CompleteMultipartUploadResult",
            {
                "Location": f"{asked.request.base_url}{asked.bucket}/{asked.key}",
                "Bucket": asked.bucket,
                "Key": asked.key,
                "ETag": f'"{etag}"',
                **{f"Checksum{name}": value for name, value in checksums.items()},
            },
        )

    async def _abort_upload(self, asked: Asked) -> Response:
        self._uploads.find(asked.query["uploadId"], asked.bucket, asked.key)
        self._uploads.end(asked.query["uploadId"])
        return Response(status_code=204)


def _refusing(refused: Refused) -> Callable[[Failure], Awaitable[Response]]:
    async def refuse(failure: Failure) -> Response:
        raise refused

    return refuse


def _failed_condition() -> Refused:
    return Refused("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that come back with the object."""
    kept = {name: value for name, value in headers.items() if name in KEPT_HEADERS or name.startswith("x-amz-meta-")}
    coding = [one.strip() for one in kept.pop("content-encoding", "").split(",")]
    left = [one for one in coding if one not in ("", "aws-chunked")]
    return kept | ({"content-encoding": ",".join(left)} if left else {})


def _checksum_headers(checksums: Mapping[str, str]) -> dict[str, str]:
    return {f"{CHECKSUM_HEADER}{name.lower()}": value for name, value in checksums.items()}


def _range(header: str, size: int) -> tuple[int, int]:
    """The bytes that are asked for, the last one excluded; all of them without a range, or with one that S3 ignores."""
    asked = _RANGE.fullmatch(header.strip())
    if asked is None or not any(asked.groups()):
        return 0, size
    first, last = asked.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if first and last and int(last) < int(first):
        return 0, size
    if start >= size:
        raise Refused("InvalidRange", "The requested range is not satisfiable", 416)
    return start, end


async def _read(file: IO[bytes], start: int, end: int) -> AsyncGenerator[bytes, None]:
    with file:
        file.seek(start)
        left = end - start
        while left > 0 and (data := await anyio.to_thread.run_sync(file.read, min(left, SENT_AT_A_TIME))):
            left -= len(data)
            yield data
