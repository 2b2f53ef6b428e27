"""One `generate` of transformers for several requests together, each with the answer that it would get alone.

Prompts are padded on the left; penalties and lengths do not see the padding, random numbers are drawn for each row from its
own seed, and a row ends at its own stop string or limit.
"""

from collections.abc import Sequence
from typing import Any

import torch
import transformers

from ...parameters import GenerationParameters
from .constraint import GrammarConstraint
from .engine import Engine
from .logits import ModelScores, RandomDraw, processors, random_generators
from .request import TransformersRequest
from .rows import BeamsDone, Row, RowsDone


def generate_answers(requests: Sequence[TransformersRequest]) -> None:
    """Answer requests whose parameters are the same, except for their limits. The caller holds the engine's lock."""
    engine, parameters = requests[0].engine, requests[0].parameters
    for request in requests:
        request.compile_grammar()
    ends = (*engine.end_ids, *engine.special_ids(parameters.stop or ()))
    if (parameters.num_beams or 1) == 1:
        answers = _sample(engine, requests, parameters, ends)
    elif max(len(each.prompt) for each in requests) + max(each.max_tokens for each in requests) > engine.context:
        answers = [_beam_search(engine, [request], parameters, ends)[0] for request in requests]
    else:
        answers = _beam_search(engine, requests, parameters, ends)
    for request, rows in zip(requests, answers, strict=True):
        request.finish([row.answer() for row in rows])


def _sample(
    engine: Engine, requests: Sequence[TransformersRequest], parameters: GenerationParameters, ends: Sequence[int]
) -> list[list[Row]]:
    """Token by token, the likeliest or a random one: the rows of each request.

    Padding and answers together may fill the model's positions before the answers to short prompts have ended: those
    continue as prompts that contain their tokens so far.
    """
    count = parameters.num_return_sequences or 1
    rows = [Row(request, ends) for request in requests for _ in range(count)]
    # The n-th answer of a seed is the answer of the n-th seed after it.
    seeds = [None if parameters.seed is None else parameters.seed + i % count for i in range(len(rows))]
    generators = dict(zip(rows, random_generators(seeds, engine.device), strict=True))
    while active := [row for row in rows if not row.done][: requests[0].max_rows]:
        inputs, padding = _padded(engine, [row.request.prompt + row.tokens for row in active])
        width = inputs["input_ids"].shape[1]
        constraint = _constraint([row.request for row in active], [width - len(row.tokens) for row in active], ends)
        model_scores = ModelScores() if requests[0].likelihood else None
        draw = [RandomDraw([generators[row] for row in active])] if parameters.samples else []
        shared = processors(parameters, padding, ends, keep=1, constraint=constraint)
        if len(requests) == 1 < len(active) and not any(row.tokens for row in active):  # all rows are at the prompt
            inputs["past_key_values"] = _prompt_cache(engine, active[0].request.prompt, len(active))
        _generate(
            engine,
            inputs,
            min(max(row.remaining for row in active), engine.context - width),
            ends,
            [*([model_scores] if model_scores else []), *shared, *draw],
            RowsDone(active, model_scores),
        )
    return [rows[start : start + count] for start in range(0, len(rows), count)]


def _beam_search(
    engine: Engine, requests: Sequence[TransformersRequest], parameters: GenerationParameters, ends: Sequence[int]
) -> list[list[Row]]:
    """The rows of each request. They are known once all beams have ended, and are then decoded token by token."""
    count, beams = parameters.num_return_sequences or 1, parameters.num_beams or 1
    inputs, padding = _padded(engine, [request.prompt for request in requests])
    width = inputs["input_ids"].shape[1]
    each_beam = [request for request in requests for _ in range(beams)]
    found = _generate(
        engine,
        inputs,
        max(request.max_tokens for request in requests),
        ends,
        processors(
            parameters,
            [length for length in padding for _ in range(beams)],
            ends,
            keep=max(2, len(ends) + 1),  # one candidate more than there are ends: so some beam always continues
            constraint=_constraint(each_beam, [width] * len(each_beam), ends),
        ),
        BeamsDone(engine, requests, width),
        seed=parameters.seed,
        num_beams=beams,
        num_return_sequences=count,
        early_stopping=bool(parameters.early_stopping),
        length_penalty=1.0 if parameters.length_penalty is None else parameters.length_penalty,
        # Our processors do what these would; left out, transformers would keep 50 candidates.
        **({"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0} if parameters.samples else {}),
    )
    rows = [Row(request, ends) for request in requests for _ in range(count)]
    for row, tokens in zip(rows, found.tolist(), strict=True):
        for token in tokens[width:]:
            row.add(token)
    return [rows[start : start + count] for start in range(0, len(rows), count)]


def _constraint(
    requests: Sequence[TransformersRequest], starts: Sequence[int], ends: Sequence[int]
) -> list[transformers.LogitsProcessor]:
    """What constrains each row to its request's grammar, if they have one; answers begin at the columns `starts`."""
    if requests[0].matcher is None:
        return []
    return [GrammarConstraint([request.matcher for request in requests], starts, ends)]


def _generate(
    engine: Engine,
    inputs: dict[str, Any],
    max_tokens: int,
    ends: Sequence[int],
    logits_processors: list[transformers.LogitsProcessor],
    stop: transformers.StoppingCriteria,
    *,
    seed: int | None = None,
    **settings: Any,
) -> torch.Tensor:
    config = transformers.GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=max_tokens,
        eos_token_id=list(ends) or None,
        pad_token_id=engine.pad_id,
        **{"do_sample": False, **settings},
    )
    devices = [engine.device] if engine.device.type == "cuda" else []
    # Only a random beam search uses the generator that the whole process shares; its state is restored.
    with torch.random.fork_rng(devices, enabled=config.do_sample and seed is not None):
        if config.do_sample and seed is not None:
            torch.manual_seed(seed % 2**63)
        found: torch.Tensor = engine.model.generate(
            **inputs,
            generation_config=config,
            logits_processor=transformers.LogitsProcessorList(logits_processors),
            stopping_criteria=transformers.StoppingCriteriaList([stop]),
        )
    return found


def _padded(engine: Engine, prompts: Sequence[list[int]]) -> tuple[dict[str, Any], list[int]]:
    """Prompts and their mask as tensors of shape (rows, tokens), and the length of the padding before each."""
    width = max(map(len, prompts))
    padding = [width - len(prompt) for prompt in prompts]
    ids = [[engine.pad_id] * length + prompt for length, prompt in zip(padding, prompts, strict=True)]
    mask = [[0] * length + [1] * (width - length) for length in padding]
    return {
        "input_ids": torch.tensor(ids, device=engine.device),
        "attention_mask": torch.tensor(mask, device=engine.device),
    }, padding


def _prompt_cache(engine: Engine, prompt: list[int], rows: int) -> Any:
    """Keys and values of a prompt but its last token, copied for each row; None for models without such a cache."""
    if len(prompt) < 2:
        return None
    with torch.no_grad():
        output = engine.model(torch.tensor([prompt[:-1]], device=engine.device), use_cache=True, logits_to_keep=1)
    cache: Any = getattr(output, "past_key_values", None)
    if not hasattr(cache, "batch_repeat_interleave"):
        return None
    cache.batch_repeat_interleave(rows)
    return cache
