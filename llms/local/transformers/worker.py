"""Requests to the transformers engine: answered in a thread of their own, several as one batch."""

from collections.abc import Iterator, Sequence

from langchain_core.outputs import GenerationChunk

from ..generation import Worker
from .request import TransformersRequest


class TransformersGeneration(TransformersRequest):
    """A request that is started when it is first read, unless `start` was called with it before."""

    started = False

    def __iter__(self) -> Iterator[GenerationChunk]:
        if not self.started:
            start([self])
        return self.received()


def start(generations: Sequence[TransformersGeneration]) -> None:
    """Start generations of one engine whose parameters are the same, except for `max_tokens`."""

    def work() -> None:
        from .generation import generate_answers

        for batch in _batches(generations):
            with batch[0].engine.lock:  # between two batches other workers get the engine
                if not all(request.closed for request in batch):
                    generate_answers(batch)

    for generation in generations:
        generation.started = True
    Worker(generations, work).start()


def _batches(requests: Sequence[TransformersRequest]) -> Iterator[list[TransformersRequest]]:
    """Groups of requests; prompts of similar length come together, so that there is little padding.

    A request for more rows than the limit makes a batch of its own.
    """
    batch: list[TransformersRequest] = []
    for request in sorted(requests, key=lambda request: len(request.prompt)):
        if batch and (len(batch) + 1) * request.rows > request.max_rows:
            yield batch
            batch = []
        batch.append(request)
    yield batch
