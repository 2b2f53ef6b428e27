"""A generation on this machine: one thread of its own generates, any other reads, and `timeout` limits the reading.

class LlamaCppGeneration(LocalGeneration): ...     # sends events with `send`, and reads them from `received`
Worker([generation], work).start()
"""

import atexit
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..constrained.schemas import UnsupportedSchema
from ..deadline import Deadline
from ..errors import LLMError, ModelFailed, TimedOut
from ..forks import renew_in_child
from ..generation import RunningGeneration


class LocalGeneration(RunningGeneration):
    """What two threads share about one generation.

    Args:
        model: its name, for errors.
        engine: the library that runs it, for errors.
        timeout: seconds for the whole generation; in a stream to the first chunk and between chunks.
        stream: the answer is read in chunks, while it is generated.
    """

    def __init__(self, model: str, engine: str, *, timeout: float, stream: bool) -> None:
        self._model, self._engine_name, self._timeout, self._stream = model, engine, timeout, stream
        self._open()

    def _open(self) -> None:
        self._closed = threading.Event()
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()

    # The generating thread's side

    @property
    def closed(self) -> bool:
        """Whether no more tokens are wanted."""
        return self._closed.is_set()

    def send(self, event: Any) -> None:
        """Pass an event, or an exception, to the reading thread."""
        self._events.put(event)

    def end(self) -> None:
        """There are no more events."""
        self._events.put(None)

    # The reading thread's side

    def received(self) -> Iterator[Any]:
        """The events. Raises UnsupportedSchema, or an LLMError."""
        deadline = Deadline(self._timeout)
        while True:
            if self._stream:
                deadline.restart()  # the time in which the reader did something else does not count
            try:
                event = self._events.get(timeout=deadline.remaining())
            except queue.Empty:
                self.close()
                raise TimedOut(self._model, f"no answer came within {self._timeout:g} seconds.") from None
            if event is None:
                return
            if isinstance(event, UnsupportedSchema | LLMError):
                raise event
            if isinstance(event, Exception):
                raise ModelFailed(self._model, f"{self._engine_name} failed: {event!r}.") from event
            yield event

    def close(self) -> None:
        """End the work at the next token, and the reading immediately."""
        self._closed.set()
        self.end()

    def fail_in_child(self) -> None:
        """In a forked child: the thread that generates is the parent's."""
        self._open()
        self.send(ModelFailed(self._model, "the process was forked while this answer was generated."))


class Worker(threading.Thread):
    """A thread that runs generations. It ends before Python does, and its generations fail in a forked child.

    Args:
        work: generates, and sends what it generates.
    """

    def __init__(self, generations: Sequence[LocalGeneration], work: Callable[[], None]) -> None:
        super().__init__(daemon=True, name="sagechain-generation")
        self._generations, self._work = generations, work
        renew_in_child(self, Worker._fail_in_child)

    def start(self) -> None:
        """Start the thread."""
        _running.add(self)
        super().start()

    def run(self) -> None:
        """Work, and pass a failure to every generation."""
        try:
            self._work()
        except Exception as error:  # noqa: BLE001  # raised again where the answers are read
            for generation in self._generations:
                generation.send(error)
        finally:
            for generation in self._generations:
                generation.end()
            _running.discard(self)

    def stop(self) -> None:
        """Close the generations, and wait until the engine has returned."""
        for generation in self._generations:
            generation.close()
        self.join()

    def _fail_in_child(self) -> None:
        if self in _running:
            _running.discard(self)
            for generation in self._generations:
                generation.fail_in_child()


_running: set[Worker] = set()


@atexit.register
def _stop_workers() -> None:
    """A thread that is still inside an engine when Python exits would abort the whole process."""
    for worker in tuple(_running):
        worker.stop()
