"""Calls to a Hugging Face engine: answered in a thread of their own, several as one batch; read wherever one waits."""

import atexit
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from langchain_core.outputs import GenerationChunk

from ...constrained.schemas import NotHeld
from ...errors import ModelFailed
from ...generation import RunningGeneration
from ...parameters import GenerationParameters
from .engine import Engine


class HuggingFaceCall(RunningGeneration):
    """One prompt's generation.

    Args:
        prompt: token ids.
        limit: most tokens of an answer.
        stream: give the answer in pieces as they come.
        likelihood: tell how likely its tokens were.
        held_to: makes what the answer is held to (`hugging_face_grammars.py`).
    """

    def __init__(
        self,
        engine: Engine,
        prompt: list[int],
        parameters: GenerationParameters,
        *,
        limit: int,
        stream: bool,
        likelihood: bool = False,
        held_to: Callable[[], Any] | None = None,
    ) -> None:
        self.engine, self.prompt, self.parameters, self.limit = engine, prompt, parameters, limit
        self._stream, self.likelihood, self._held_to = stream, likelihood, held_to
        self.started = False
        self._closed = threading.Event()
        self._arrived: queue.SimpleQueue[GenerationChunk | Exception | None] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[GenerationChunk]:
        if not self.started:
            start([self], most_rows=self.rows)
        while (arrived := self._arrived.get()) is not None:
            if isinstance(arrived, NotHeld):
                raise arrived
            if isinstance(arrived, Exception):
                raise ModelFailed(self.engine.name, f"transformers failed: {arrived!r}.") from arrived
            yield arrived

    def close(self) -> None:
        """The work ends at the next token; a reader stops at once."""
        self._closed.set()
        self._arrived.put(None)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    @cached_property
    def grammar(self) -> Any:
        """What the answer is held to; None where any text fits. It takes its time to make, so it is made by the work."""
        return None if self._held_to is None else self._held_to()

    @property
    def rows(self) -> int:
        """Sequences that are generated side by side."""
        return max(self.parameters.num_beams or 1, self.parameters.num_return_sequences or 1)

    def show(self, piece: GenerationChunk) -> None:
        """Pass on what one more token adds, if the answer is read as it comes."""
        if self._stream and (piece.text or piece.generation_info):
            self._arrived.put(piece)

    def end_with(self, answers: Sequence[GenerationChunk]) -> None:
        """Pass on the whole answers, unless they were read as they came."""
        for answer in () if self._stream else answers:
            self._arrived.put(answer)
        self._arrived.put(None)

    def fail(self, error: Exception) -> None:
        """Raise an error where the answer is waited for."""
        self._arrived.put(error)


class _Answering(threading.Thread):
    """The work on calls that were asked together."""

    def __init__(self, calls: Sequence[HuggingFaceCall], most_rows: int) -> None:
        super().__init__(daemon=True, name="sagechain-hugging-face")
        self._calls, self._most_rows = calls, most_rows

    def run(self) -> None:
        """Answer them, batch by batch; other calls to the engine get their turn in between."""
        _running.add(self)
        try:
            from .generation import answer

            for batch in _batches(self._calls, self._most_rows):
                with batch[0].engine.lock:
                    if not all(call.closed for call in batch):
                        answer(batch)
        except Exception as error:  # noqa: BLE001  # raised again where the answers are read
            for call in self._calls:
                call.fail(error)
        finally:
            _running.discard(self)

    def end(self) -> None:
        """Close the calls, and wait until torch has let go."""
        for call in self._calls:
            call.close()
        self.join()


_running: set[_Answering] = set()


@atexit.register
def _end_running_calls() -> None:
    """A thread that is still inside torch when Python ends would abort the whole process."""
    for work in tuple(_running):
        work.end()


def start(calls: Sequence[HuggingFaceCall], *, most_rows: int) -> None:
    """Begin to answer calls of one engine that have the same parameters, but for their limits.

    Args:
        most_rows: sequences generated side by side; a call that makes more is answered by itself.
    """
    for call in calls:
        call.started = True
    _Answering(calls, most_rows).start()


def _batches(calls: Sequence[HuggingFaceCall], most_rows: int) -> Iterator[list[HuggingFaceCall]]:
    """Calls in groups; those with prompts of a like length together, so that there is little padding."""
    batch: list[HuggingFaceCall] = []
    for call in sorted(calls, key=lambda call: len(call.prompt)):
        if batch and (len(batch) + 1) * call.rows > most_rows:
            yield batch
            batch = []
        batch.append(call)
    yield batch
