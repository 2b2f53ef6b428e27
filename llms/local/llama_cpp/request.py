"""A generation in llama.cpp: run by its own thread, read while it arrives, closed from any thread."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from langchain_core.outputs import GenerationChunk

from ...constrained.grammars import with_leading_text
from ...constrained.schemas import UnsupportedSchema
from ...errors import ModelFailed
from ...token_counting import prompt_too_long
from ..generation import LocalGeneration, Worker
from .engine import Engine

PROBE = "~"  # text that no answer in JSON or of tool calls starts with
REMEDY = "shorten it, or load the model with ?context=…"
GRAMMAR_REFUSED = (
    "schema: decoding can't be constrained to it: llama.cpp refuses its grammar; nothing fits the schema, or llguidance "
    "does not support one of its patterns or references; simplify it, or request any JSON object (method='json_mode')"
)


class LlamaCppGeneration(LocalGeneration):
    """The answers to one prompt; llama.cpp passes its events to `_receive` in the thread that runs it.

    Args:
        requests: sent one after another; each may request several answers (`n`).
        timeout, stream: as for every generation on this machine.
    """

    def __init__(self, engine: Engine, requests: Sequence[Mapping[str, Any]], *, timeout: float, stream: bool) -> None:
        super().__init__(engine.name, "llama.cpp", timeout=timeout, stream=stream)
        self._engine, self._requests = engine, requests
        self._buffer: list[tuple[int, Any]] = []

    def __iter__(self) -> Iterator[GenerationChunk]:
        Worker([self], self._run).start()
        return (chunk for _, chunk in self._chunks()) if self._stream else self._answers()

    # In the generation's own thread

    def _run(self) -> None:
        self._check_grammar(self._requests[0])
        first_answer = 0
        for request in self._requests:
            if not self.closed:
                self._engine.run(request, partial(self._receive, first_answer))
            first_answer += request.get("n", 1)
        for event in self._buffer:
            self.send(event)

    def _check_grammar(self, request: Mapping[str, Any]) -> None:
        """Raise UnsupportedSchema if llama.cpp refuses the grammar: it only logs that, and generates without one.

        For a grammar that the engine has not seen, one token is requested with a fixed text before it. This also reads the
        prompt, so the answer itself is hardly later.
        """
        grammar = request.get("grammar")
        if grammar is None or grammar in self._engine.accepted_grammars:
            return
        probe = {"grammar": with_leading_text(grammar, PROBE), "max_tokens": 1, "n": 1, "stop": []}
        events: list[Any] = []

        def receive(event: Any) -> bool:
            events.extend(_as_list(event))
            return self.closed

        self._engine.run({**request, **probe}, receive)
        if self.closed:
            return
        if any("error" in event for event in events):
            return  # of another kind: the request itself will report it
        if not "".join(chunk.text for event in events if (chunk := _chunk(event))).startswith(PROBE):
            raise UnsupportedSchema(GRAMMAR_REFUSED)
        self._engine.accepted_grammars.append(grammar)

    def _receive(self, first_answer: int, event: Any) -> bool:
        # Whole answers are read at the end: waking the reader at each token takes a tenth of the decoding's time.
        (self.send if self._stream else self._buffer.append)((first_answer, event))
        return self.closed

    # In the reading thread

    def _chunks(self) -> Iterator[tuple[int, GenerationChunk]]:
        """Each chunk with the number of its answer."""
        log_probabilities: defaultdict[int, list[float]] = defaultdict(list)
        for first_answer, events in self.received():
            for event in _as_list(events):
                if "error" in event:
                    raise self._error(event["error"])
                number = first_answer + (event["choices"][0]["index"] if event.get("choices") else 0)
                log_probabilities[number] += _log_probabilities(event)
                if (chunk := _chunk(event)) is None:
                    continue
                info = chunk.generation_info
                if info and "finish_reason" in info and log_probabilities[number]:
                    info["likelihood"] = fmean(log_probabilities[number])
                yield number, chunk

    def _answers(self) -> Iterator[GenerationChunk]:
        answers: defaultdict[int, GenerationChunk] = defaultdict(lambda: GenerationChunk(text="", generation_info={}))
        for number, chunk in self._chunks():
            answer = answers[number]
            info = {**(answer.generation_info or {}), **(chunk.generation_info or {})}
            answers[number] = GenerationChunk(text=answer.text + chunk.text, generation_info=info)
        yield from (answers[number] for number in sorted(answers))

    def _error(self, error: Mapping[str, Any]) -> Exception:
        if error.get("type") == "exceed_context_size_error":
            return prompt_too_long(error["n_prompt_tokens"], error["n_ctx"], REMEDY)
        if 400 <= int(error.get("code", 500)) < 500:
            return ValueError(f"llama.cpp refuses the request: {error.get('message')}")
        return ModelFailed(self._engine.name, f"llama.cpp failed: {error.get('message')}.")


def _as_list(event: Any) -> list[Any]:
    """llama.cpp passes one event, or a list of several."""
    return event if isinstance(event, list) else [event]


def _chunk(event: Mapping[str, Any]) -> GenerationChunk | None:
    """The text and the figures of one event; None if it has neither."""
    info: dict[str, Any] = {}
    text = ""
    for choice in event.get("choices", ()):
        text += choice["text"] if "text" in choice else choice["delta"].get("content") or ""
        if choice.get("finish_reason"):
            info["finish_reason"] = choice["finish_reason"]
    if usage := event.get("usage"):
        info |= {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]}
    return GenerationChunk(text=text, generation_info=info or None) if text or info else None


def _log_probabilities(event: Mapping[str, Any]) -> list[float]:
    """Those of the tokens in one event, if they were requested."""
    logprobs = (choice.get("logprobs") or {} for choice in event.get("choices", ()))
    return [float(token["logprob"]) for each in logprobs for token in each.get("content") or ()]
