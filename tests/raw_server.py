"""A server of SageMaker's runtime whose replies are raw bytes at times that a test chooses."""

import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sagechain.local_aws.inference import event_stream

Reply = Callable[[], Iterable[bytes | float]]
"""The bytes to send; a number is a pause in seconds."""

HEADERS = f"HTTP/1.1 200 OK\r\nContent-Type: {event_stream.CONTENT_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    connections = 0
    """Connections that are open now."""
    requests = 0
    body = b""
    """Of the last request."""


@contextmanager
def raw_server(reply: Reply) -> Iterator[Any]:
    """Serve on loopback: `.url`, `.connections`, `.requests` and `.body` of the result change while it runs."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            server.connections += 1
            try:
                with suppress(OSError):
                    while self._answer():
                        continue
            finally:
                server.connections -= 1

        def _answer(self) -> bool:
            length = 0
            if not self.rfile.readline():
                return False
            while (line := self.rfile.readline()).strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            server.body = self.rfile.read(length)
            server.requests += 1
            for part in reply():
                if isinstance(part, bytes):
                    self.wfile.write(part)
                else:
                    time.sleep(part)
            return True

    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.url = f"http://127.0.0.1:{server.server_address[1]}"  # type: ignore[attr-defined]
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def reply(status: int, content: Any, error: str = "") -> bytes:
    """A whole reply of JSON; AWS names an `error` in a header."""
    body = json.dumps(content).encode()
    head = f"HTTP/1.1 {status} Reason\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}x-amzn-ErrorType: {error}\r\n\r\n".encode() + body


def chunk(data: bytes) -> bytes:
    """A chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def token(text: str, *, last: bool = False) -> bytes:
    """An event of the tgi wire in a frame of SageMaker's stream, as a chunk of the body."""
    event: dict[str, Any] = {"token": {"id": 1, "text": text, "special": last}, "generated_text": None}
    if last:
        event |= {"generated_text": "", "details": {"finish_reason": "eos_token", "generated_tokens": 1}}
    return chunk(event_stream.payload_part(f"data:{json.dumps(event)}\n\n".encode()))
