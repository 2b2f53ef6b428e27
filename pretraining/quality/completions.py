"""Complete prompts with a code model, and check whether a completion parses as Python. The model's code is never run."""

import codeop
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..data.tokenizer import token_ids

Syntax = Literal["parses", "broken", "unfinished"]


@dataclass(frozen=True)
class Completion:
    """A model's text after a prompt."""

    prompt: str
    text: str
    ids: tuple[int, ...]
    """The tokens of `text`, without end-of-text."""
    ended: bool
    """Whether the model ended the document; otherwise the text is truncated at the limit."""


def check_syntax(completion: Completion) -> Syntax:
    """Whether prompt and completion together are Python, as this version of Python compiles it; the code is not run.

    A truncated completion is checked up to its last complete line and block; the unfinished rest is ignored. It is
    `unfinished` if nothing of the completion remains.
    """
    text = completion.prompt + completion.text
    if completion.ended:
        return "parses" if _state(text) == "complete" else "broken"
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines.pop()
    while lines and (state := _state("".join(lines))) != "complete":
        if state == "broken":
            return "broken"
        lines.pop()
    remaining = "".join(lines)[len(completion.prompt) :]
    return "parses" if remaining.strip() else "unfinished"


def _state(text: str) -> Literal["complete", "broken", "open"]:
    """`open`: it is valid if it continues, but not as it is."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return "open" if codeop.compile_command(text, "completion", "exec") is None else "complete"
    # The compiler's exceptions: bad syntax; NUL and lone surrogates; numbers, nesting and indentation beyond its limits.
    except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
        return "broken"


def complete(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    batch: int = 16,
) -> list[Completion]:
    """Complete each prompt once, several at a time.

    Args:
        model: a `GPT2LMHeadModel`.
        tokenizer: its own.
        prompts: beginnings of code. An empty one is the start of a document.
        max_new_tokens: the limit at which a completion is truncated.
        temperature: 0 takes the most likely token each time.
        top_p: tokens are sampled from the most likely ones with this total probability.
        seed: of the sampling. PyTorch's global generators keep their state.
        batch: prompts of one `generate`.

    Raises:
        ValueError: a prompt leaves no room in the model's context.
    """
    import torch

    prompt_ids = [ids or [tokenizer.eos_token_id] for ids in token_ids(tokenizer, list(prompts))]
    context = model.config.n_positions
    for number, ids in enumerate(prompt_ids):
        if len(ids) + max_new_tokens > context:
            raise ValueError(
                f"prompts: number {number} has {len(ids)} tokens; with max_new_tokens={max_new_tokens} that is more "
                f"than the model's context of {context}. Shorten the prompt, or lower max_new_tokens."
            )
    sampling = (
        {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
        if temperature
        else {"do_sample": False}
    )
    options = {**sampling, "max_new_tokens": max_new_tokens, "pad_token_id": tokenizer.eos_token_id}
    was_training, completion_ids = model.training, []
    device = next(model.parameters()).device
    model.eval()
    try:
        # Of this model's device only: without a list torch would initialise every GPU of the machine.
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
            torch.manual_seed(seed)
            for first in range(0, len(prompt_ids), batch):
                completion_ids += _generate(model, prompt_ids[first : first + batch], tokenizer.eos_token_id, options)
    finally:
        model.train(was_training)
    return [_completion(tokenizer, prompt, ids) for prompt, ids in zip(prompts, completion_ids, strict=True)]


def _generate(model: Any, prompts: list[list[int]], padding: int, options: dict[str, Any]) -> list[list[int]]:
    """The new tokens of each prompt, those after an end-of-text included."""
    import torch

    longest = max(map(len, prompts))
    padded = [[padding] * (longest - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    device = next(model.parameters()).device
    output = model.generate(
        input_ids=torch.tensor(padded, device=device), attention_mask=torch.tensor(mask, device=device), **options
    )
    ids: list[list[int]] = output[:, longest:].tolist()
    return ids


def _completion(tokenizer: Any, prompt: str, ids: list[int]) -> Completion:
    end = tokenizer.eos_token_id
    text_ids = ids[: ids.index(end)] if end in ids else ids
    return Completion(prompt, tokenizer.decode(text_ids), tuple(text_ids), ended=len(text_ids) < len(ids))
