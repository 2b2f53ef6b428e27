"""A SageMaker runtime that answers at set times, for the benchmarks, at almost no cost.

    wait-MS             answers after MS milliseconds
    stream-FRAMES-MS    streams FRAMES TGI events, one every MS milliseconds; each token is the time at which it is sent

`GET /frames` returns the number of frames that the last stream has sent. It prints its address, and runs until terminated.
"""

import asyncio
import json
import time

from sagechain.local_aws.inference.event_stream import CONTENT_TYPE, payload_part

ANSWER = json.dumps([{"generated_text": "Paris", "details": {"finish_reason": "eos_token", "generated_tokens": 1}}])


class Endpoint:
    """All endpoints of the server."""

    frames = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The requests of one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                lengths = [int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")]
                await reader.readexactly(sum(lengths))
                path = lines[0].split()[1]
                if path == "/frames":
                    self._whole(writer, json.dumps(self.frames))
                    continue
                kind, *numbers = path.split("/")[2].split("-")
                if kind == "wait":
                    await asyncio.sleep(int(numbers[0]) / 1000)
                    self._whole(writer, ANSWER)
                else:
                    await self._stream(reader, writer, int(numbers[0]), int(numbers[1]) / 1000)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _whole(self, writer: asyncio.StreamWriter, body: str) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write((head + body).encode())

    async def _stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frames: int, seconds: float
    ) -> None:
        self.frames = 0
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode())
        for number in range(frames):
            await asyncio.sleep(seconds)
            if reader.at_eof():
                raise ConnectionResetError
            last = number == frames - 1
            event = {"token": {"text": f"{time.monotonic():.6f} "}, "generated_text": "all" if last else None}
            frame = payload_part(f"data:{json.dumps(event)}\n\n".encode())
            writer.write(f"{len(frame):x}\r\n".encode() + frame + b"\r\n")
            self.frames += 1
        writer.write(b"0\r\n\r\n")


async def main() -> None:
    """Serve."""
    server = await asyncio.start_server(Endpoint().serve, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
