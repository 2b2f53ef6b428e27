"""Worker threads that answer requests to an engine, several as one batch."""

import atexit
import threading
from collections.abc import Iterator, Sequence

from langchain_core.outputs import GenerationChunk

from ...generation import RunningGeneration
from .request import TransformersRequest


class TransformersGeneration(TransformersRequest, RunningGeneration):
    """A request that is started when it is first read, unless `start` was called with it before."""

    started = False

    def __iter__(self) -> Iterator[GenerationChunk]:
        if not self.started:
            start([self], max_rows=self.rows)
        return self.results()


def start(generations: Sequence[TransformersGeneration], *, max_rows: int) -> None:
    """Start generations of one engine whose parameters are the same, except for `max_tokens`.

    Args:
        max_rows: sequences generated side by side; a request for more is answered alone.
    """
    for generation in generations:
        generation.started = True
    _Worker(generations, max_rows).start()


class _Worker(threading.Thread):
    """Answers requests batch by batch; between two batches other workers get the engine."""

    def __init__(self, requests: Sequence[TransformersRequest], max_rows: int) -> None:
        super().__init__(daemon=True, name="sagechain-hugging-face")
        self._requests, self._max_rows = requests, max_rows

    def run(self) -> None:
        _running.add(self)
        try:
            from .generation import generate_answers

            for batch in _batches(self._requests, self._max_rows):
                with batch[0].engine.lock:
                    if not all(request.closed for request in batch):
                        generate_answers(batch)
        except Exception as error:  # noqa: BLE001  # raised again where the answers are read
            for request in self._requests:
                request.fail(error)
        finally:
            _running.discard(self)

    def stop(self) -> None:
        """Close the requests, and wait until torch has returned."""
        for request in self._requests:
            request.close()
        self.join()


_running: set[_Worker] = set()


@atexit.register
def _stop_workers() -> None:
    """A thread that is still inside torch when Python exits would abort the whole process."""
    for worker in tuple(_running):
        worker.stop()


def _batches(requests: Sequence[TransformersRequest], max_rows: int) -> Iterator[list[TransformersRequest]]:
    """Groups of requests; prompts of similar length come together, so that there is little padding."""
    batch: list[TransformersRequest] = []
    for request in sorted(requests, key=lambda request: len(request.prompt)):
        if batch and (len(batch) + 1) * request.rows > max_rows:
            yield batch
            batch = []
        batch.append(request)
    yield batch
