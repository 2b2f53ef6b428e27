"""One generation in llama.cpp: started in a thread of its own, read as it comes, ended from any thread."""

import atexit
import queue
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from langchain_core.outputs import GenerationChunk

from ...constrained.grammars import START
from ...errors import ModelFailed
from ...generation import RunningGeneration
from ...token_counting import prompt_too_long
from .server import Engine

MARK = "~"
REMEDY = "shorten it, or load the model with ?context=…"
NOT_TAKEN = (
    "shape: llama.cpp can't hold decoding to this JSON schema: nothing fits it, or one of its patterns or references "
    "is beyond llguidance; simplify it, or ask for any JSON object (method='json_mode')"
)


class LlamaCppCall(RunningGeneration):
    """One generation; llama.cpp calls back from a thread of its own.

    Args:
        requests: one after another; each may ask for several answers (`n`).
        whole: give each answer as one piece, once all are there.
    """

    def __init__(self, engine: Engine, requests: Sequence[Mapping[str, Any]], *, whole: bool) -> None:
        self._engine, self._requests, self._is_whole = engine, requests, whole
        self._closed = threading.Event()
        self._held: list[tuple[int, Any]] = []
        self._arrived: queue.SimpleQueue[tuple[int, Any] | Exception | None] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[GenerationChunk]:
        self._thread = threading.Thread(target=self._run, daemon=True, name="sagechain-llama-cpp")
        _running.add(self)
        self._thread.start()
        return self._joined() if self._is_whole else (piece for _, piece in self._pieces())

    def close(self) -> None:
        """llama.cpp ends the work at its next token; a reader stops at once."""
        self._closed.set()
        self._arrived.put(None)

    def _run(self) -> None:
        try:
            answers = 0
            self._check_grammar(self._requests[0])
            for request in self._requests:
                if not self._closed.is_set():
                    self._engine.run(request, partial(self._listen, answers))
                answers += request.get("n", 1)
            for arrived in self._held:
                self._arrived.put(arrived)
        except Exception as error:  # noqa: BLE001  # raised again where the answer is read
            self._arrived.put(error)
        finally:
            _running.discard(self)
            self._arrived.put(None)

    def _check_grammar(self, request: Mapping[str, Any]) -> None:
        """Raise ValueError where llama.cpp does not take the grammar: it only logs that, and goes on without.

        A grammar that is new to the engine is first asked for one token, with a mark before all that it allows. The
        prompt is then read, so the answer itself comes hardly later.
        """
        grammar = request.get("grammar")
        if grammar is None or grammar in self._engine.grammars:
            return
        marked = grammar.replace(START, f'{START}"{MARK}" held\nheld: ', 1)
        events: list[Any] = []
        self._engine.run({**request, "grammar": marked, "max_tokens": 1, "n": 1, "stop": []}, events.append)
        pieces = [event for each in events for event in (each if isinstance(each, list) else [each])]
        if any("error" in piece for piece in pieces):
            return  # of another kind: the request itself will tell
        if not "".join(chunk.text for piece in pieces if (chunk := _chunk(piece))).startswith(MARK):
            raise ValueError(NOT_TAKEN)
        self._engine.grammars.append(grammar)

    def end(self) -> None:
        """Close, and wait until llama.cpp has let go."""
        self.close()
        self._thread.join()

    def _listen(self, answers_before: int, piece: Any) -> bool:
        # A whole answer is read at its end: waking the reader at each token costs a tenth of the decoding.
        (self._held.append if self._is_whole else self._arrived.put)((answers_before, piece))
        return self._closed.is_set()

    def _pieces(self) -> Iterator[tuple[int, GenerationChunk]]:
        """The pieces, each with the number of its answer."""
        likely: defaultdict[int, list[float]] = defaultdict(list)
        while (arrived := self._arrived.get()) is not None:
            if isinstance(arrived, ValueError):
                raise arrived
            if isinstance(arrived, Exception):
                raise ModelFailed(self._engine.name, f"llama.cpp failed: {arrived}.") from arrived
            before, piece = arrived
            for event in piece if isinstance(piece, list) else [piece]:
                if "error" in event:
                    raise self._refusal(event["error"])
                number = before + (event["choices"][0]["index"] if event.get("choices") else 0)
                likely[number] += _log_probabilities(event)
                chunk = _chunk(event)
                if chunk is not None:
                    info = chunk.generation_info
                    if info and "finish_reason" in info and likely[number]:
                        info["likelihood"] = fmean(likely[number])
                    yield number, chunk

    def _joined(self) -> Iterator[GenerationChunk]:
        answers: defaultdict[int, GenerationChunk] = defaultdict(lambda: GenerationChunk(text="", generation_info={}))
        for number, piece in self._pieces():
            answer = answers[number]
            info = {**(answer.generation_info or {}), **(piece.generation_info or {})}
            answers[number] = GenerationChunk(text=answer.text + piece.text, generation_info=info)
        yield from (answers[number] for number in sorted(answers))

    def _refusal(self, error: Mapping[str, Any]) -> Exception:
        if error.get("type") == "exceed_context_size_error":
            asked, room = error["n_prompt_tokens"], error["n_ctx"]
            return prompt_too_long(asked, room, REMEDY)
        if 400 <= int(error.get("code", 500)) < 500:
            return ValueError(f"llama.cpp refuses the request: {error.get('message')}")
        return ModelFailed(self._engine.name, f"llama.cpp failed: {error.get('message')}.")


_running: set[LlamaCppCall] = set()


@atexit.register
def _end_running_calls() -> None:
    """A thread that is still inside llama.cpp when Python ends would abort the whole process."""
    for call in tuple(_running):
        call.end()


def _chunk(event: Mapping[str, Any]) -> GenerationChunk | None:
    """The text and the figures in one event; None where it has neither."""
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
    """Those of the tokens in one event, where they were asked for."""
    told = (choice.get("logprobs") or {} for choice in event.get("choices", ()))
    return [float(token["logprob"]) for each in told for token in each.get("content") or ()]
