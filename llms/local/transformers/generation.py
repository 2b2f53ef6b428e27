"""One `generate` of transformers for several calls at once: what each parameter means there, and when a row ends.

Prompts of one batch are padded on the left, and every answer is what it would be alone: penalties and lengths do not
see the padding, chance is drawn for each row from its own seed, and a row ends at its own stop string or limit.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch
import transformers
from langchain_core.outputs import GenerationChunk

from ...parameters import GenerationParameters
from ...stop_strings import StopCutter
from .engine import Engine
from .logits import Draw, Likelihoods, generators_of, processors
from .request import HuggingFaceCall
from .token_text import UNFINISHED, TokenText


class Row:
    """One answer in the making: its text, and why it ended."""

    def __init__(self, engine: Engine, call: HuggingFaceCall, ends: Sequence[int]) -> None:
        self.call, self._ends = call, ends
        self.tokens: list[int] = []
        self._log_probabilities: list[float] = []
        self.text, self.reason = "", ""
        self._text = TokenText(engine.decode, call.prompt)
        self._stops = StopCutter(call.parameters.stop or ())

    @property
    def done(self) -> bool:
        """Whether no more tokens are wanted."""
        return bool(self.reason) or self.call.closed

    @property
    def left(self) -> int:
        """Tokens that it may still have."""
        return self.call.limit - len(self.tokens)

    def feed(self, token: int, log_probability: float | None = None) -> str:
        """The text that one more token adds, all that is held back with the last; nothing once the answer has ended."""
        if self.done:
            return ""
        self.tokens.append(token)
        if log_probability is not None:
            self._log_probabilities.append(log_probability)
        piece = "" if token in self._ends else self._text.feed(token)
        self._stops.feed(piece)
        if token in self._ends or self._stops.stopped:
            self.reason = "stop"
        elif not self.left:
            self.reason = "length"
        if self.reason:
            piece += self._text.flush()
        self.text += piece
        return piece

    def chunk(self, text: str) -> GenerationChunk:
        """A part of the answer; when it has ended, with why it did and the tokens it took."""
        figures = {
            "finish_reason": self.reason,
            "input_tokens": len(self.call.prompt),
            "output_tokens": len(self.tokens),
            **({"likelihood": fmean(self._log_probabilities)} if self._log_probabilities else {}),
        }
        return GenerationChunk(text=text, generation_info=figures if self.reason else None)


def answer(calls: Sequence[HuggingFaceCall]) -> None:
    """Answer calls by one generate. Their parameters are the same, but for their limits; the engine's lock is held."""
    engine, parameters = calls[0].engine, calls[0].parameters
    ends = (*engine.ends, *engine.special_ids(parameters.stop or ()))
    if (parameters.num_beams or 1) == 1:
        made = _drawn(engine, calls, parameters, ends)
    elif max(len(call.prompt) for call in calls) + max(call.limit for call in calls) > engine.context:
        made = [_searched(engine, [call], parameters, ends)[0] for call in calls]
    else:
        made = _searched(engine, calls, parameters, ends)
    for call, rows in zip(calls, made, strict=True):
        call.end_with([row.chunk(row.text) for row in rows])


def _drawn(
    engine: Engine, calls: Sequence[HuggingFaceCall], parameters: GenerationParameters, ends: Sequence[int]
) -> list[list[Row]]:
    """Token by token, the likeliest or one by chance.

    Padding and answers together may fill the model's positions before the answers to short prompts have ended: those go
    on, as prompts that hold what they have so far.
    """
    each = parameters.num_return_sequences or 1
    rows = [Row(engine, call, ends) for call in calls for _ in range(each)]
    # The n-th answer of a seed is what the n-th seed after it gives.
    seeds = [None if parameters.seed is None else parameters.seed + i % each for i in range(len(rows))]
    generators = dict(zip(rows, generators_of(seeds, engine.device), strict=True))
    while going := [row for row in rows if not row.done]:
        inputs, pads = _padded(engine, [row.call.prompt + row.tokens for row in going])
        likelihoods = Likelihoods() if calls[0].likelihood else None
        width = inputs["input_ids"].shape[1]
        held = _held([row.call for row in going], [width - len(row.tokens) for row in going], ends)
        scores = [*([likelihoods] if likelihoods else []), *processors(parameters, pads, ends, keep=1, held=held)]
        if parameters.samples:
            scores.append(Draw([generators[row] for row in going]))
        if len(going) > 1 and not any(row.tokens for row in going) and len(calls) == 1:
            inputs["past_key_values"] = _read_once(engine, going[0].call.prompt, len(going))
        limit = min(max(row.left for row in going), engine.context - width)
        _generate(engine, inputs, limit, ends, scores, _Watch(going, likelihoods))
    return [rows[start : start + each] for start in range(0, len(rows), each)]


def _searched(
    engine: Engine, calls: Sequence[HuggingFaceCall], parameters: GenerationParameters, ends: Sequence[int]
) -> list[list[Row]]:
    """By beam search: the answers are known when all beams have ended, and are then read token by token."""
    each, beams = parameters.num_return_sequences or 1, parameters.num_beams or 1
    inputs, pads = _padded(engine, [call.prompt for call in calls])
    width = inputs["input_ids"].shape[1]
    each_beam = [call for call in calls for _ in range(beams)]
    found = _generate(
        engine,
        inputs,
        max(call.limit for call in calls),
        ends,
        # One candidate more than there are ends: so some beam always goes on.
        processors(
            parameters,
            [pad for pad in pads for _ in range(beams)],
            ends,
            keep=max(2, len(ends) + 1),
            held=_held(each_beam, [width] * len(each_beam), ends),
        ),
        _WatchBeams(engine, calls, width),
        seed=parameters.seed,
        num_beams=beams,
        num_return_sequences=each,
        early_stopping=bool(parameters.early_stopping),
        length_penalty=1.0 if parameters.length_penalty is None else parameters.length_penalty,
        # The processors above do what these would; without a word on them transformers cuts at 50.
        **({"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0} if parameters.samples else {}),
    )
    rows = [Row(engine, call, ends) for call in calls for _ in range(each)]
    for row, tokens in zip(rows, found.tolist(), strict=True):
        for token in tokens[width:]:
            row.feed(token)
    return [rows[start : start + each] for start in range(0, len(rows), each)]


def _held(calls: Sequence[HuggingFaceCall], starts: Sequence[int], ends: Sequence[int]) -> list[Any]:
    """What holds each row to its call's grammar, where any call has one; answers begin at the columns `starts`."""
    grammars = [call.grammar for call in calls]
    if not any(grammar is not None for grammar in grammars):
        return []
    from ...constrained.transformers_grammars import Held

    return [Held(grammars, starts, ends)]


def _generate(
    engine: Engine,
    inputs: dict[str, Any],
    limit: int,
    ends: Sequence[int],
    scores: list[Any],
    watch: transformers.StoppingCriteria,
    *,
    seed: int | None = None,
    **settings: Any,
) -> torch.Tensor:
    config = transformers.GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=limit,
        eos_token_id=list(ends) or None,
        pad_token_id=engine.pad,
        **{"do_sample": False, **settings},
    )
    devices = [engine.device] if engine.device.type == "cuda" else []
    # Only beams drawn by chance use the generator that all of a process share; it gets its state back.
    with torch.random.fork_rng(devices, enabled=config.do_sample and seed is not None):
        if config.do_sample and seed is not None:
            torch.manual_seed(seed % 2**63)
        found: torch.Tensor = engine.model.generate(
            **inputs,
            generation_config=config,
            logits_processor=transformers.LogitsProcessorList(scores),
            stopping_criteria=transformers.StoppingCriteriaList([watch]),
        )
    return found


def _padded(engine: Engine, prompts: Sequence[list[int]]) -> tuple[dict[str, Any], list[int]]:
    """Prompts as one tensor (rows, tokens) with its mask, and the padding before each."""
    width = max(map(len, prompts))
    pads = [width - len(prompt) for prompt in prompts]
    ids = [[engine.pad] * pad + prompt for pad, prompt in zip(pads, prompts, strict=True)]
    mask = [[0] * pad + [1] * (width - pad) for pad in pads]
    return {
        "input_ids": torch.tensor(ids, device=engine.device),
        "attention_mask": torch.tensor(mask, device=engine.device),
    }, pads


def _read_once(engine: Engine, prompt: list[int], rows: int) -> Any:
    """What the model keeps of a prompt but its last token, for so many rows; None where it keeps nothing of the kind."""
    if len(prompt) < 2:
        return None
    with torch.no_grad():
        read = engine.model(torch.tensor([prompt[:-1]], device=engine.device), use_cache=True, logits_to_keep=1)
    kept: Any = getattr(read, "past_key_values", None)
    if not hasattr(kept, "batch_repeat_interleave"):
        return None
    kept.batch_repeat_interleave(rows)
    return kept


class _Watch(transformers.StoppingCriteria):
    """Reads each row's new token, and says which rows are done."""

    def __init__(self, rows: Sequence[Row], likelihoods: Likelihoods | None) -> None:
        self._rows, self._likelihoods = rows, likelihoods

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        tokens = input_ids[:, -1]
        likely = self._likelihoods.of(tokens) if self._likelihoods else [None] * len(self._rows)
        for row, token, log_probability in zip(self._rows, tokens.tolist(), likely, strict=True):
            if not row.done:
                row.call.show(row.chunk(row.feed(token, log_probability)))
        return torch.tensor([row.done for row in self._rows], device=input_ids.device)


class _WatchBeams(transformers.StoppingCriteria):
    """Says which beams are done; they change from step to step, so each is looked at anew."""

    def __init__(self, engine: Engine, calls: Sequence[HuggingFaceCall], width: int) -> None:
        self._engine, self._calls, self._width = engine, calls, width

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        each = len(input_ids) // len(self._calls)
        new = input_ids[:, self._width :].tolist()
        done = [self._is_done(self._calls[beam // each], tokens) for beam, tokens in enumerate(new)]
        return torch.tensor(done, device=input_ids.device)

    def _is_done(self, call: HuggingFaceCall, tokens: list[int]) -> bool:
        if call.closed or len(tokens) >= call.limit:
            return True
        if not call.parameters.stop:
            return False
        shown = self._engine.decode(tokens).rstrip(UNFINISHED)
        return any(stop in shown for stop in call.parameters.stop)
