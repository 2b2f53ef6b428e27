"""S3's operations, as far as `aws s3 cp`, `ls`, `rm`, boto3's `upload_file`, `download_file` and a deployment use them.

Bodies are streamed. `requests.py` recognises the operation of a request, `objects.py` stores the files.

Source: Amazon S3's API reference.
"""

import re
import time
from collections.abc import AsyncGenerator, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import IO

import anyio.to_thread
from starlette.responses import Response, StreamingResponse

from ..errors import AwsError
from .listing import page_of_objects
from .multipart import Uploads, join_parts, parse_part_number, select_parts
from .objects import Objects, StoredObject
from .requests import Operations, S3Request
from .upload_body import CHECKSUM_HEADER, write_body
from .xml import bucket_list, document, object_list, read_keys, read_parts

BLOCK_BYTES = 256 * 1024  # read from a file and sent at once
STORED_HEADERS = ("content-type", "cache-control", "content-disposition", "content-language", "content-encoding")
DEFAULT_CONTENT_TYPE = "binary/octet-stream"

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class S3Service:
    """The operations on buckets and objects.

    Args:
        objects: the buckets.
        uploads: the unfinished multipart uploads.

    Attributes:
        operations: their names and handlers, by what distinguishes a request for each.
    """

    def __init__(self, objects: Objects, uploads: Uploads) -> None:
        self._objects, self._uploads = objects, uploads
        self.operations: Operations = {
            ("GET", "service", ""): ("ListBuckets", self._list_buckets),
            ("PUT", "bucket", ""): ("CreateBucket", self._create_bucket),
            ("HEAD", "bucket", ""): ("HeadBucket", self._head_bucket),
            ("DELETE", "bucket", ""): ("DeleteBucket", self._delete_bucket),
            ("GET", "bucket", "list-type"): ("ListObjectsV2", self._list_objects),
            ("POST", "bucket", "delete"): ("DeleteObjects", self._delete_objects),
            ("PUT", "key", ""): ("PutObject", self._put_object),
            ("GET", "key", ""): ("GetObject", self._get_object),
            ("HEAD", "key", ""): ("HeadObject", self._get_object),
            ("DELETE", "key", ""): ("DeleteObject", self._delete_object),
            ("POST", "key", "uploads"): ("CreateMultipartUpload", self._create_upload),
            ("PUT", "key", "uploadId"): ("UploadPart", self._upload_part),
            ("POST", "key", "uploadId"): ("CompleteMultipartUpload", self._complete_upload),
            ("DELETE", "key", "uploadId"): ("AbortMultipartUpload", self._abort_upload),
        }

    async def _list_buckets(self, request: S3Request) -> Response:
        return bucket_list(self._objects.buckets())

    async def _create_bucket(self, request: S3Request) -> Response:
        await request.http.body()
        self._objects.create_bucket(request.bucket)
        return Response(headers={"Location": f"/{request.bucket}"})

    async def _head_bucket(self, request: S3Request) -> Response:
        self._objects.under(request.bucket)
        return Response()

    async def _delete_bucket(self, request: S3Request) -> Response:
        self._objects.delete_bucket(request.bucket)
        return Response(status_code=204)

    async def _list_objects(self, request: S3Request) -> Response:
        page = page_of_objects(self._objects, request.bucket, request.query)
        return object_list(page, request.bucket, request.query)

    async def _delete_objects(self, request: S3Request) -> Response:
        keys, quiet = read_keys(await request.http.body())
        for key in keys:
            self._objects.delete(request.bucket, key)
        return document("DeleteResult", {"Deleted": [] if quiet else [{"Key": key} for key in keys]})

    async def _delete_object(self, request: S3Request) -> Response:
        self._objects.delete(request.bucket, request.key)
        return Response(status_code=204)

    async def _put_object(self, request: S3Request) -> Response:
        headers = request.http.headers
        path = self._objects.new_file(request.bucket, request.key)
        if headers.get("If-None-Match") == "*" and self._objects.find(request.bucket, request.key):
            raise _precondition_failed()
        body = await write_body(request.http, path)
        self._store(request, path, body.size, body.etag, _stored_headers(headers), body.checksums)
        return Response(headers={"ETag": f'"{body.etag}"', **_checksum_headers(body.checksums)})

    async def _get_object(self, request: S3Request) -> Response:
        stored = self._objects.find(request.bucket, request.key)
        if stored is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        given = request.http.headers
        if given.get("If-Match", "*").strip('"') not in ("*", stored.etag):
            raise _precondition_failed()
        headers = {
            "content-type": DEFAULT_CONTENT_TYPE,
            **stored.headers,
            "ETag": f'"{stored.etag}"',
            "Last-Modified": formatdate(stored.modified, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        start, end = _parse_range(given.get("Range", ""), stored.size)
        is_partial = (start, end) != (0, stored.size)
        if is_partial:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
        elif given.get("x-amz-checksum-mode", "").upper() == "ENABLED":
            headers |= _checksum_headers(stored.checksums)
        headers["Content-Length"] = str(end - start)
        status = 206 if is_partial else 200
        if request.operation == "HeadObject":
            return Response(status_code=status, headers=headers)
        # It is opened now, so that it can be read to its end if it is replaced meanwhile.
        file = self._objects.path(request.bucket, stored).open("rb")
        return StreamingResponse(_read(file, start, end), status, headers)

    async def _create_upload(self, request: S3Request) -> Response:
        self._objects.under(request.bucket)
        upload_id = self._uploads.create(request.bucket, request.key, _stored_headers(request.http.headers))
        fields = {"Bucket": request.bucket, "Key": request.key, "UploadId": upload_id}
        return document("InitiateMultipartUploadResult", fields)

    async def _upload_part(self, request: S3Request) -> Response:
        upload = self._uploads.find(request.query["uploadId"], request.bucket, request.key)
        number = parse_part_number(request.query.get("partNumber", ""))
        path = upload.folder / f"{number}-{time.monotonic_ns()}"
        body = await write_body(request.http, path)
        upload.parts[number] = (path, body)
        return Response(headers={"ETag": f'"{body.etag}"', **_checksum_headers(body.checksums)})

    async def _complete_upload(self, request: S3Request) -> Response:
        upload = self._uploads.find(request.query["uploadId"], request.bucket, request.key)
        parts = select_parts(upload, read_parts(await request.http.body()))
        path = self._objects.new_file(request.bucket, request.key)
        size, etag = await anyio.to_thread.run_sync(join_parts, parts, path)
        self._store(request, path, size, etag, upload.headers)
        self._uploads.remove(request.query["uploadId"])
        location = f"{request.http.base_url}{request.bucket}/{request.key}"
        fields = {"Location": location, "Bucket": request.bucket, "Key": request.key, "ETag": f'"{etag}"'}
        return document("CompleteMultipartUploadResult", fields)

    async def _abort_upload(self, request: S3Request) -> Response:
        self._uploads.find(request.query["uploadId"], request.bucket, request.key)
        self._uploads.remove(request.query["uploadId"])
        return Response(status_code=204)

    def _store(
        self,
        request: S3Request,
        path: Path,
        size: int,
        etag: str,
        headers: Mapping[str, str],
        checksums: Mapping[str, str] | None = None,
    ) -> None:
        """Store a written file as the request's object."""
        stored = StoredObject(request.key, path.name, size, etag, time.time(), checksums or {}, headers)
        self._objects.put(request.bucket, stored)


def _precondition_failed() -> AwsError:
    return AwsError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)


def _stored_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that are returned with the object."""
    stored = {
        name: value for name, value in headers.items() if name in STORED_HEADERS or name.startswith("x-amz-meta-")
    }
    codings = [coding.strip() for coding in stored.pop("content-encoding", "").split(",")]
    remaining = [coding for coding in codings if coding not in ("", "aws-chunked")]
    return stored | ({"content-encoding": ",".join(remaining)} if remaining else {})


def _checksum_headers(checksums: Mapping[str, str]) -> dict[str, str]:
    return {f"{CHECKSUM_HEADER}{algorithm.lower()}": value for algorithm, value in checksums.items()}


def _parse_range(header: str, size: int) -> tuple[int, int]:
    """The first byte of a range, and the one after its last; the whole object for a range that S3 ignores."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or not any(match.groups()):
        return 0, size
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return 0, size
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= size:
        raise AwsError("InvalidRange", "The requested range is not satisfiable", 416)
    return start, end


async def _read(file: IO[bytes], start: int, end: int) -> AsyncGenerator[bytes, None]:
    with file:
        file.seek(start)
        remaining = end - start
        while remaining > 0 and (data := await anyio.to_thread.run_sync(file.read, min(remaining, BLOCK_BYTES))):
            remaining -= len(data)
            yield data
