"""Judge what a model writes: how much of it parses as Python, and how much it copied from its training data.

    parsing = share_that_parses("codeparrot", ["def add(left, right):\\n"])
    parsing.share                                                     # 0.8
    row = TokenArray(Path("data/tokens"), "train", vocabulary=8192)
    longest_verbatim_copies([c.ids for c in parsing.completions], row, end_of_text=0)

Nothing that a model wrote is ever run. The search for copies is in `copies.py`.
"""

import codeop
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..data.tokenizer import token_ids
from .memorisation import Copy, longest_verbatim_copies, longest_verbatim_copy

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase

    Model = str | Path | tuple[GPT2LMHeadModel, PreTrainedTokenizerBase]

__all__ = [
    "Completion", "Copy", "Parsing", "completed", "longest_verbatim_copies", "longest_verbatim_copy",
    "share_that_parses", "verdict",
]  # fmt: skip

Verdict = Literal["parses", "broken", "unfinished"]


@dataclass(frozen=True)
class Completion:
    """What a model wrote after a prompt."""

    prompt: str
    text: str
    ids: tuple[int, ...]
    """The tokens of `text`, end-of-text not among them."""
    ended: bool
    """Whether the model ended the document; else it was cut at the limit."""


@dataclass(frozen=True)
class Parsing:
    """How many completions are Python."""

    completions: tuple[Completion, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How often each verdict was given."""
        return {name: self.verdicts.count(name) for name in ("parses", "broken", "unfinished")}

    @property
    def share(self) -> float:
        """The share that parses, from 0 to 1. What is unfinished does not count as parsing."""
        return self.counts["parses"] / len(self.verdicts)


def share_that_parses(model: "Model", prompts: Sequence[str], **options: Any) -> Parsing:
    """Complete the prompts, and see which of the texts are Python (`verdict`).

    Args:
        model: a checkpoint's folder, or a model with its tokenizer.
        prompts: beginnings of code.
        options: of `completed`.

    Raises:
        ValueError: as `completed` does.
    """
    completions = tuple(completed(model, prompts, **options))
    return Parsing(completions, tuple(verdict(completion) for completion in completions))


def verdict(completion: Completion) -> Verdict:
    """Whether prompt and completion together are Python, as this version of Python compiles it; it is not run.

    A completion that was cut at the limit is judged up to its last whole line, and that line's block: what stands
    unfinished at the end is left out. `unfinished` is where nothing of the completion is left by that.
    """
    text = completion.prompt + completion.text
    if completion.ended:
        return "parses" if _state(text) == "whole" else "broken"
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines.pop()
    while lines and (state := _state("".join(lines))) != "whole":
        if state == "broken":
            return "broken"
        lines.pop()
    written = "".join(lines)[len(completion.prompt) :]
    return "parses" if written.strip() else "unfinished"


def _state(text: str) -> Literal["whole", "broken", "open"]:
    """`open`: it could go on, but cannot stand as it is."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return "open" if codeop.compile_command(text, "completion", "exec") is None else "whole"
    # What the compiler raises: bad syntax; NUL and lone surrogates; numbers, nesting and indentation beyond its limits.
    except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
        return "broken"


def completed(
    model: "Model",
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
        model: a checkpoint's folder, or a model with its tokenizer.
        prompts: beginnings of code. An empty one stands for the beginning of a document.
        max_new_tokens: tokens after which a completion is cut.
        temperature: 0 takes the likeliest token each time.
        top_p: tokens are drawn from the likeliest that hold this share.
        seed: of what is drawn. The generators of others are left as they were.
        batch: prompts at once.

    Raises:
        ValueError: no prompts, a value out of range, or a prompt that leaves no room in the model's context.
    """
    for name, value, is_right in (
        ("prompts", len(prompts), len(prompts) > 0), ("max_new_tokens", max_new_tokens, max_new_tokens >= 1),
        ("temperature", temperature, temperature >= 0), ("top_p", top_p, 0 < top_p <= 1), ("batch", batch, batch >= 1),
    ):  # fmt: skip
        if not is_right:
            raise ValueError(f"{name}: {value} is out of range")
    import torch

    loaded, tokenizer = _loaded(model)
    ids = [found or [tokenizer.eos_token_id] for found in token_ids(tokenizer, list(prompts))]
    context = loaded.config.n_positions
    for number, found in enumerate(ids):
        if len(found) + max_new_tokens > context:
            raise ValueError(
                f"prompts: number {number} has {len(found)} tokens; with max_new_tokens={max_new_tokens} that is more "
                f"than the model's context of {context}. Shorten the prompt, or ask for fewer tokens."
            )
    sampling = (
        {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
        if temperature
        else {"do_sample": False}
    )
    options = {**sampling, "max_new_tokens": max_new_tokens, "pad_token_id": tokenizer.eos_token_id}
    was_training, found_ids = loaded.training, []
    device = next(loaded.parameters()).device
    loaded.eval()
    try:
        # Of this model's device only: without a list torch would open every GPU of the machine.
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
            torch.manual_seed(seed)
            for first in range(0, len(ids), batch):
                found_ids += _generated(loaded, ids[first : first + batch], tokenizer.eos_token_id, options)
    finally:
        loaded.train(was_training)
    return [_completion(tokenizer, prompt, found) for prompt, found in zip(prompts, found_ids, strict=True)]


def _loaded(model: "Model") -> tuple[Any, Any]:
    if isinstance(model, tuple):
        return model
    if not (Path(model) / "config.json").is_file():
        raise ValueError(f"model: {str(model)!r} is no checkpoint's folder: it has no config.json")
    from transformers import AutoTokenizer, GPT2LMHeadModel

    return GPT2LMHeadModel.from_pretrained(model), AutoTokenizer.from_pretrained(model)


def _generated(model: Any, prompts: list[list[int]], filler: int, options: dict[str, Any]) -> list[list[int]]:
    """The new tokens of each prompt, what comes after its end-of-text still among them."""
    import torch

    longest = max(map(len, prompts))
    padded = [[filler] * (longest - len(prompt)) + prompt for prompt in prompts]
    seen = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    device = next(model.parameters()).device
    found = model.generate(
        input_ids=torch.tensor(padded, device=device), attention_mask=torch.tensor(seen, device=device), **options
    )
    ids: list[list[int]] = found[:, longest:].tolist()
    return ids


def _completion(tokenizer: Any, prompt: str, ids: list[int]) -> Completion:
    end = tokenizer.eos_token_id
    kept = ids[: ids.index(end)] if end in ids else ids
    return Completion(prompt, tokenizer.decode(kept), tuple(kept), ended=len(kept) < len(ids))
