"""Checkpoints for tests: the tiny GPT-2 with other end tokens or files, and what transformers' own `generate` returns."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sagechain.llms import HuggingFaceLLM, load_llm

PROMPT = "the quick brown"
PROMPTS: list[Any] = ["the quick brown fox jumps over", "def", "café 日本語", "a b a b a b"]


@contextmanager
def plain_cpu() -> Iterator[None]:
    """Checkpoints load on the CPU in float32, where a batch gives to the last bit what each prompt alone does."""
    import torch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cpu, "get_capabilities", dict)
        patch.setattr(torch.cuda, "is_available", lambda: False)
        yield


def load_exactly(folder: Path, **settings: Any) -> HuggingFaceLLM:
    """A checkpoint folder in float32."""
    with plain_cpu():
        llm = load_llm(f"local:{folder}", **settings)
    assert isinstance(llm, HuggingFaceLLM)
    return llm


def changed_copy(checkpoint: Path, folder: Path, **files: dict[str, Any]) -> Path:
    """A copy of a checkpoint with entries of its JSON files changed: `config={"n_layer": 3}` for config.json."""
    shutil.copytree(checkpoint, folder)
    for name, changes in files.items():
        path = folder / f"{name}.json"
        settings = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps({**settings, **changes}))
    return folder


def text(llm: HuggingFaceLLM, prompt: str = PROMPT, **parameters: Any) -> str:
    """The answer to a prompt."""
    return llm.complete(prompt, **parameters)[0].text


def decode(llm: HuggingFaceLLM, tokens: list[int]) -> str:
    """The text of tokens, by the model's own tokenizer."""
    return str(llm.pipeline.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def generate_tokens(llm: HuggingFaceLLM, prompt: str = PROMPT, **settings: Any) -> list[list[int]]:
    """The tokens that transformers' own `generate` adds to this prompt alone."""
    import torch

    ids = torch.tensor([llm.get_token_ids(prompt)])
    found = llm.pipeline.model.generate(ids, attention_mask=torch.ones_like(ids), **settings)
    return [tokens[ids.shape[1] :].tolist() for tokens in found]


def greedy_tokens(llm: HuggingFaceLLM, count: int) -> list[int]:
    """The first tokens of the greedy answer to PROMPT."""
    return generate_tokens(llm, max_new_tokens=count, do_sample=False)[0]


def ending_checkpoint(gpt2: Path, folder: Path, *, after: int) -> tuple[HuggingFaceLLM, str]:
    """The tiny model, whose end token is the one that it greedily generates after `after` others; and their text."""
    tokens = greedy_tokens(load_exactly(gpt2), after + 1)
    assert tokens[-1] not in tokens[:-1]
    llm = load_exactly(changed_copy(gpt2, folder, generation_config={"eos_token_id": [0, tokens[-1]]}))
    return llm, decode(llm, tokens[:-1])
