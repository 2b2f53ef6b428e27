"""Lines out of bytes that arrive in any pieces: half a line, many lines, half a character."""

from collections.abc import Iterator


class LineReader:
    """Gives whole lines, without their ends (`\\n` or `\\r\\n`); a last line needs no end."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that are complete now."""
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")

    def flush(self) -> Iterator[bytes]:
        """The last line, if it had no end."""
        held, self._held = self._held, b""
        if held:
            yield held.removesuffix(b"\r")
