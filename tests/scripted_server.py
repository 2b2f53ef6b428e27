"""A SageMaker runtime that sends exactly the bytes that a test gives it, over a real socket."""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sagechain.local_aws.inference import event_stream


class QuietServer(ThreadingHTTPServer):
    """A server that prints nothing where a client closes its connection early, as a cancelled generation does."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class ScriptedServer:
    """Answers each request to an endpoint with its entry in `replies`: the parts of a body, sent one by one."""

    def __init__(self) -> None:
        self.replies: dict[str, Sequence[bytes]] = {}
        self.requests: list[bytes] = []
        self._http = QuietServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:  # the name that http.server looks for
                script.requests.append(self.rfile.read(int(self.headers["Content-Length"])))
                _, _, name, path = self.path.split("/")
                streamed = path.endswith("-stream")
                self.send_response(200)
                self.send_header("Content-Type", event_stream.CONTENT_TYPE if streamed else "application/json")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for piece in script.replies[name]:
                    data = event_stream.payload_part(piece) if streamed else piece
                    if data:
                        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    @contextmanager
    def running(self) -> Iterator["ScriptedServer"]:
        """Serve in a thread."""
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            thread.join()
            self._http.server_close()


def split(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The bytes, cut at these positions."""
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
