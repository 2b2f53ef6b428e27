"""AWS's event-stream framing, the sending side.

A frame is: total length (4 bytes), length of the headers (4), CRC32 of those 8 bytes, the headers, the payload, CRC32 of
all before it. A header is: length of its name (1), the name, type 7 (a string), length of its value (2), the value.

Source: the event-stream encoding in the AWS SDKs' specification (Smithy, `amazon-eventstream`).
"""

import json
import struct
import zlib
from collections.abc import Mapping

CONTENT_TYPE = "application/vnd.amazon.eventstream"

_STRING = 7


def payload_part(data: bytes) -> bytes:
    """A frame with a part of the container's response."""
    headers = {
        ":event-type": "PayloadPart",
        ":content-type": "application/octet-stream",
        ":message-type": "event",
    }
    return frame(headers, data)


def model_stream_error(message: str, code: str) -> bytes:
    """A frame that reports a failure of the container inside a stream."""
    return exception("ModelStreamError", {"Message": message, "ErrorCode": code})


def exception(kind: str, fields: Mapping[str, str]) -> bytes:
    """A frame that reports a failure by its type, with its fields in JSON."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, json.dumps(fields).encode())


def error(code: str, message: str) -> bytes:
    """A frame that reports a failure by a code and a message in its headers."""
    return frame({":message-type": "error", ":error-code": code, ":error-message": message}, b"")


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """A frame of any kind."""
    head = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    body = prelude + struct.pack("!I", zlib.crc32(prelude)) + head + payload
    return body + struct.pack("!I", zlib.crc32(body))


def _header(name: str, value: str) -> bytes:
    name_bytes, value_bytes = name.encode(), value.encode()
    return struct.pack("!B", len(name_bytes)) + name_bytes + struct.pack("!BH", _STRING, len(value_bytes)) + value_bytes
