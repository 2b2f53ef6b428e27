"""S3's operations, as far as `aws s3 cp`, `ls`, `rm`, boto3's `upload_file`, `download_file` and a deployment use them.

Bodies are streamed. `requests.py` recognises the operation of a request, `objects.py` stores the files.

Source: Amazon S3's API reference.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import IO

import anyio.to_thread
from starlette.responses import Response, StreamingResponse

from ..errors import AwsError
from .conditions import check_conditions, parse_range, precondition_failed
from .copying import SOURCE_HEADER, copy_bytes, copy_source
from .listing import Page, decode_token, page_of
from .multipart import Uploads
from .objects import Objects, StoredObject
from .requests import Operations, S3Request
from .upload_body import Body, checksum_headers, stored_headers, write_body
from .upload_operations import UploadOperations
from .xml import (
    bucket_list,
    bucket_location,
    copy_result,
    document,
    object_list,
    object_list_v2,
    read_keys,
    read_location,
)

BLOCK_BYTES = 256 * 1024  # read from a file and sent at once
DEFAULT_CONTENT_TYPE = "binary/octet-stream"


class S3Service:
    """The operations on buckets and objects.

    Args:
        objects: the buckets.
        uploads: the unfinished multipart uploads.
        clock: seconds since the epoch.

    Attributes:
        operations: their names and handlers, by what distinguishes a request for each.
    """

    def __init__(self, objects: Objects, uploads: Uploads, clock: Callable[[], float]) -> None:
        self._objects, self._clock = objects, clock
        self.operations: Operations = {
            ("GET", "service", ""): ("ListBuckets", self._list_buckets),
            ("PUT", "bucket", ""): ("CreateBucket", self._create_bucket),
            ("HEAD", "bucket", ""): ("HeadBucket", self._head_bucket),
            ("DELETE", "bucket", ""): ("DeleteBucket", self._delete_bucket),
            ("GET", "bucket", "location"): ("GetBucketLocation", self._bucket_location),
            ("GET", "bucket", ""): ("ListObjects", self._list_objects),
            ("GET", "bucket", "list-type"): ("ListObjectsV2", self._list_objects_v2),
            ("POST", "bucket", "delete"): ("DeleteObjects", self._delete_objects),
            ("PUT", "key", ""): ("PutObject", self._put_object),
            ("PUT", "key", SOURCE_HEADER): ("CopyObject", self._copy_object),
            ("GET", "key", ""): ("GetObject", self._get_object),
            ("HEAD", "key", ""): ("HeadObject", self._get_object),
            ("DELETE", "key", ""): ("DeleteObject", self._delete_object),
            **UploadOperations(objects, uploads, clock).operations,
        }

    async def _list_buckets(self, request: S3Request) -> Response:
        return bucket_list(self._objects.buckets())

    async def _create_bucket(self, request: S3Request) -> Response:
        region = read_location(await request.http.body()) or request.region
        self._objects.create_bucket(request.bucket, region)
        return Response(headers={"Location": f"/{request.bucket}"})

    async def _head_bucket(self, request: S3Request) -> Response:
        return Response(headers={"x-amz-bucket-region": self._objects.region(request.bucket)})

    async def _bucket_location(self, request: S3Request) -> Response:
        return bucket_location(self._objects.region(request.bucket))

    async def _delete_bucket(self, request: S3Request) -> Response:
        self._objects.delete_bucket(request.bucket)
        return Response(status_code=204)

    async def _list_objects(self, request: S3Request) -> Response:
        marker = request.query.get("marker", "")
        return object_list(self._page(request, marker), request.bucket, request.query)

    async def _list_objects_v2(self, request: S3Request) -> Response:
        query = request.query
        token = query.get("continuation-token")
        after = query.get("start-after", "") if token is None else decode_token(token)
        return object_list_v2(self._page(request, after), request.bucket, query)

    def _page(self, request: S3Request, after: str) -> Page[StoredObject]:
        objects = self._objects.under(request.bucket, request.query.get("prefix", ""))
        return page_of(objects, request.query, after=(after, None))

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
            raise precondition_failed()
        body = await write_body(request.http, path)
        self._store(request, path, body, stored_headers(headers), body.checksums)
        return Response(headers={"ETag": f'"{body.etag}"', **checksum_headers(body.checksums)})

    async def _copy_object(self, request: S3Request) -> Response:
        given = request.http.headers
        bucket, source = copy_source(self._objects, given)
        replaces = given.get("x-amz-metadata-directive", "COPY") == "REPLACE"
        if (bucket, source.key) == (request.bucket, request.key) and not replaces:
            raise AwsError(
                "InvalidRequest",
                "This copy request is illegal because it is trying to copy an object to itself without changing the "
                "object's metadata, storage class, website redirect location or encryption attributes.",
            )
        path = self._objects.new_file(request.bucket, request.key)
        source_path = self._objects.path(bucket, source)
        body = await anyio.to_thread.run_sync(copy_bytes, source_path, path, 0, source.size)
        headers = stored_headers(given) if replaces else source.headers
        stored = self._store(request, path, body, headers, source.checksums)
        return copy_result("CopyObjectResult", stored.etag, stored.modified)

    async def _get_object(self, request: S3Request) -> Response:
        stored = self._objects.find(request.bucket, request.key)
        if stored is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        given = request.http.headers
        check_conditions(stored, given)
        headers = {
            "content-type": DEFAULT_CONTENT_TYPE,
            **stored.headers,
            "ETag": f'"{stored.etag}"',
            "Last-Modified": formatdate(stored.modified, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        start, end = parse_range(given.get("Range", ""), stored.size)
        is_partial = (start, end) != (0, stored.size)
        if is_partial:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
        elif given.get("x-amz-checksum-mode", "").upper() == "ENABLED":
            headers |= checksum_headers(stored.checksums)
        headers["Content-Length"] = str(end - start)
        status = 206 if is_partial else 200
        if request.operation == "HeadObject":
            return Response(status_code=status, headers=headers)
        # It is opened now, so that it can be read to its end if it is replaced meanwhile.
        file = self._objects.path(request.bucket, stored).open("rb")
        return StreamingResponse(_read(file, start, end), status, headers)

    def _store(
        self, request: S3Request, path: Path, body: Body, headers: Mapping[str, str], checksums: Mapping[str, str]
    ) -> StoredObject:
        """Store a written file as the request's object."""
        stored = StoredObject(request.key, path.name, body.size, body.etag, self._clock(), checksums, headers)
        self._objects.put(request.bucket, stored)
        return stored


async def _read(file: IO[bytes], start: int, end: int) -> AsyncGenerator[bytes, None]:
    with file:
        file.seek(start)
        remaining = end - start
        while remaining > 0 and (data := await anyio.to_thread.run_sync(file.read, min(remaining, BLOCK_BYTES))):
            remaining -= len(data)
            yield data
