"""The operations of multipart uploads; `multipart.py` has their state."""

import time
from collections.abc import Callable, Mapping

import anyio.to_thread
from starlette.responses import Response

from ..errors import AwsError
from .conditions import parse_range
from .copying import SOURCE_HEADER, copy_bytes, copy_source
from .listing import page_of
from .multipart import MAX_PARTS, Part, Uploads, join_parts, parse_part_number, select_parts
from .objects import Objects, StoredObject
from .requests import Operations, S3Request
from .upload_body import checksum_headers, stored_headers, write_body
from .xml import OWNER, copy_result, document, encoder, read_parts, timestamp

MAX_LISTED_PARTS = 1000


class UploadOperations:
    """The operations.

    Args:
        objects: where complete uploads are stored.
        uploads: the unfinished ones.
        clock: seconds since the epoch.

    Attributes:
        operations: their names and handlers, by what distinguishes a request for each.
    """

    def __init__(self, objects: Objects, uploads: Uploads, clock: Callable[[], float]) -> None:
        self._objects, self._uploads, self._clock = objects, uploads, clock
        self.operations: Operations = {
            ("GET", "bucket", "uploads"): ("ListMultipartUploads", self._list_uploads),
            ("POST", "key", "uploads"): ("CreateMultipartUpload", self._create),
            ("PUT", "key", "uploadId"): ("UploadPart", self._upload_part),
            ("PUT", "key", f"uploadId,{SOURCE_HEADER}"): ("UploadPartCopy", self._copy_part),
            ("GET", "key", "uploadId"): ("ListParts", self._list_parts),
            ("POST", "key", "uploadId"): ("CompleteMultipartUpload", self._complete),
            ("DELETE", "key", "uploadId"): ("AbortMultipartUpload", self._abort),
        }

    async def _list_uploads(self, request: S3Request) -> Response:
        self._objects.under(request.bucket)
        query = request.query
        key_marker = query.get("key-marker", "")
        id_marker = query.get("upload-id-marker", "") if key_marker else ""
        after = (key_marker, id_marker or None)
        page = page_of(self._uploads.of_bucket(request.bucket), query, after=after, size_name="max-uploads")
        encode = encoder(query)
        rows = [
            {
                "Key": encode(upload.key),
                "UploadId": upload.id,
                "Initiator": OWNER,
                "Owner": OWNER,
                "StorageClass": "STANDARD",
                "Initiated": timestamp(upload.started),
            }
            for upload in page.items
        ]
        next_key, next_id = page.last or (None, None)
        content = {
            "Bucket": request.bucket,
            "KeyMarker": encode(key_marker),
            "UploadIdMarker": id_marker,
            "NextKeyMarker": encode(next_key),
            "NextUploadIdMarker": next_id,
            "Prefix": encode(query.get("prefix")),
            "Delimiter": encode(query.get("delimiter")),
            "EncodingType": query.get("encoding-type"),
            "MaxUploads": page.size,
            "IsTruncated": "true" if page.last else "false",
            "Upload": rows,
            "CommonPrefixes": [{"Prefix": encode(prefix)} for prefix in page.prefixes],
        }
        return document("ListMultipartUploadsResult", content)

    async def _create(self, request: S3Request) -> Response:
        self._objects.check_key(request.bucket, request.key)
        headers = stored_headers(request.http.headers)
        upload_id = self._uploads.create(request.bucket, request.key, headers, self._clock())
        fields = {"Bucket": request.bucket, "Key": request.key, "UploadId": upload_id}
        return document("InitiateMultipartUploadResult", fields)

    async def _upload_part(self, request: S3Request) -> Response:
        upload = self._uploads.find(request.query["uploadId"], request.bucket, request.key)
        number = parse_part_number(request.query.get("partNumber", ""))
        path = upload.folder / f"{number}-{time.monotonic_ns()}"
        body = await write_body(request.http, path)
        upload.parts[number] = Part(path, body, self._clock())
        return Response(headers={"ETag": f'"{body.etag}"', **checksum_headers(body.checksums)})

    async def _copy_part(self, request: S3Request) -> Response:
        upload = self._uploads.find(request.query["uploadId"], request.bucket, request.key)
        number = parse_part_number(request.query.get("partNumber", ""))
        bucket, source = copy_source(self._objects, request.http.headers)
        start, end = parse_range(request.http.headers.get(f"{SOURCE_HEADER}-range", ""), source.size)
        path = upload.folder / f"{number}-{time.monotonic_ns()}"
        body = await anyio.to_thread.run_sync(copy_bytes, self._objects.path(bucket, source), path, start, end)
        upload.parts[number] = Part(path, body, self._clock())
        return copy_result("CopyPartResult", body.etag, upload.parts[number].modified)

    async def _list_parts(self, request: S3Request) -> Response:
        upload = self._uploads.find(request.query["uploadId"], request.bucket, request.key)
        after = _number(request.query, "part-number-marker", default=0)
        size = min(_number(request.query, "max-parts", default=MAX_LISTED_PARTS), MAX_LISTED_PARTS)
        numbers = [number for number in sorted(upload.parts) if number > after]
        rows = [
            {
                "PartNumber": number,
                "LastModified": timestamp(part.modified),
                "ETag": f'"{part.body.etag}"',
                "Size": part.body.size,
            }
            for number, part in ((number, upload.parts[number]) for number in numbers[:size])
        ]
        is_truncated = 0 < size < len(numbers)
        content = {
            "Bucket": request.bucket,
            "Key": encoder(request.query)(request.key),
            "UploadId": upload.id,
            "Initiator": OWNER,
            "Owner": OWNER,
            "StorageClass": "STANDARD",
            "PartNumberMarker": after,
            "NextPartNumberMarker": numbers[size - 1] if is_truncated else None,
            "MaxParts": size,
            "IsTruncated": "true" if is_truncated else "false",
            "Part": rows,
        }
        return document("ListPartsResult", content)

    async def _complete(self, request: S3Request) -> Response:
        upload = self._uploads.find(request.query["uploadId"], request.bucket, request.key)
        parts = select_parts(upload, read_parts(await request.http.body()))
        path = self._objects.new_file(request.bucket, request.key)
        size, etag = await anyio.to_thread.run_sync(join_parts, parts, path)
        stored = StoredObject(request.key, path.name, size, etag, self._clock(), headers=upload.headers)
        self._objects.put(request.bucket, stored)
        self._uploads.remove(upload.id)
        location = f"{request.http.base_url}{request.bucket}/{request.key}"
        fields = {"Location": location, "Bucket": request.bucket, "Key": request.key, "ETag": f'"{etag}"'}
        return document("CompleteMultipartUploadResult", fields)

    async def _abort(self, request: S3Request) -> Response:
        upload = self._uploads.find(request.query["uploadId"], request.bucket, request.key)
        self._uploads.remove(upload.id)
        return Response(status_code=204)


def _number(query: Mapping[str, str], name: str, *, default: int) -> int:
    text = query.get(name) or str(default)
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_PARTS))):
        raise AwsError("InvalidArgument", f"Provided {name} not an integer or within integer range")
    return int(text)
