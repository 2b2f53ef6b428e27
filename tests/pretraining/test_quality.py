"""A model's completions are evaluated without being run: their syntax, and the copies of training data in them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from sagechain.pretraining.data.tokens import TokenArray
from sagechain.pretraining.quality.completions import Completion, check_syntax, complete
from sagechain.pretraining.quality.memorisation import longest_verbatim_copies
from transformers import AutoTokenizer, GPT2LMHeadModel

from tests.pretraining.runs import write_run

END = 0


def brute_force(completion: list[int], train: list[int]) -> tuple[int, int]:
    """Length and first start of the longest part of `completion` in `train` without an end of text."""
    for length in range(len(completion), 0, -1):
        runs = {tuple(train[place : place + length]) for place in range(len(train) - length + 1)}
        for start in range(len(completion) - length + 1):
            run = tuple(completion[start : start + length])
            if END not in run and run in runs:
                return length, start
    return 0, 0


def longest_copy(completion: list[int], train: Any) -> int:
    """The number of tokens."""
    return longest_verbatim_copies([completion], train, end_of_text=END)[0][0]


tokens = st.lists(st.integers(0, 3), max_size=60)


@given(st.lists(tokens, max_size=4), tokens, st.integers(1, 70))
@example([[2, END, 1, END, END]], [2, END, END, 1, END, END], 6)  # four tokens in a row that an end of text cuts
def test_the_longest_copies_are_those_of_a_brute_force_search(
    completions: list[list[int]], train: list[int], chunk: int
) -> None:
    copies = longest_verbatim_copies(completions, np.array(train, "<u2"), end_of_text=END, chunk=chunk)
    assert copies == [brute_force(completion, train) for completion in completions]


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(0, 340), st.integers(1, 50))
def test_a_planted_copy_is_found_across_every_border_of_chunks(seed: int, length: int, place: int, chunk: int) -> None:
    random = np.random.default_rng(seed)
    train = random.integers(1, 5_000, 400)
    completion = [6_000, 6_001, *train[place : place + length].tolist(), 6_002]
    (copy,) = longest_verbatim_copies([completion], train, end_of_text=END, chunk=chunk)
    assert copy == brute_force(completion, train.tolist())
    assert copy[0] == length


def test_a_copy_may_cross_the_border_of_two_files_but_not_the_end_of_a_document(tmp_path: Path) -> None:
    np.array([7, 8, 9, 10], "<u2").tofile(tmp_path / "train-00000.bin")
    np.array([11, 12, END, 13, 14], "<u2").tofile(tmp_path / "train-00001.bin")
    row = TokenArray(tmp_path, "train", 100)
    assert longest_copy([8, 9, 10, 11, 12, 13, 14], row) == 5
    assert longest_copy([11, 12, END, 13, 14], row) == 2


def test_completions_do_not_run_into_each_other() -> None:
    copies = longest_verbatim_copies([[1, 2], [3, 4], []], np.array([1, 2, 3, 4]), end_of_text=END)
    assert copies == [(2, 0), (2, 0), (0, 0)]


def test_tokens_of_32_bits_are_searched() -> None:
    train = np.array([100_000, 200_000, 300_000], "<u4")
    assert longest_copy([200_000, 300_000, 5], train) == 2


def written(text: str, *, prompt: str = "def f(x):\n", ended: bool = False) -> str:
    return check_syntax(Completion(prompt=prompt, text=text, ids=(), ended=ended))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("    return x\n", "parses"),
        ("    return x\n\n\ndef g(y", "parses"),  # cut in a line
        ("    return x\n\n\ndef g(y):\n", "parses"),  # cut in a block
        ('    return x\n\n\ndef g(y):\n    """Not clo\n', "parses"),  # cut in a text
        ("    total = [\n        1,\n", "unfinished"),
        ("    if x:\n        return 1\n    else:\n", "parses"),
        ("    return x", "unfinished"),  # one line, which may continue
        ("", "unfinished"),
        ("\n\n", "unfinished"),
        ("    return x x\n", "broken"),
        ("    return x x\n    y", "broken"),
        ("return x\n", "broken"),
        ("    return (x]\n\n\ndef g():\n    pass\n", "broken"),
        ("    return '\\d'\n", "parses"),
        ("    x\x00\n", "broken"),
        ("    return '\ud800'\n", "broken"),
        ("    return " + "(" * 5_000 + "\n", "broken"),
        ("    return " + "-" * 50_000 + "x\n", "broken"),
    ],
)
def test_a_truncated_completion_is_checked_up_to_its_last_complete_block(text: str, expected: str) -> None:
    assert written(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("    return x", "parses"),
        ("    return (x", "broken"),
        ("", "broken"),
        ("    return x\n\nprint(f(1))\n", "parses"),
    ],
)
def test_a_completion_that_the_model_ended_is_checked_to_its_end(text: str, expected: str) -> None:
    assert written(text, ended=True) == expected


def test_nothing_that_a_model_wrote_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "run"
    assert written(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n", prompt="", ended=True) == "parses"
    assert not mark.exists()


@pytest.fixture
def model(tmp_path: Path) -> tuple[Any, Any]:
    """A model with its tokenizer."""
    folder = write_run(tmp_path / "run") / "model"
    return GPT2LMHeadModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


PROMPTS = ["def add_1(left", "", "x", "def add_2(left, right):\n    return"]


def test_completions_in_batches_are_those_of_single_prompts(model: tuple[Any, Any]) -> None:
    together = complete(*model, PROMPTS, max_new_tokens=8, batch=3)
    assert together == [complete(*model, [prompt], max_new_tokens=8)[0] for prompt in PROMPTS]
    network, tokenizer = model
    ids = tokenizer(PROMPTS[0], return_tensors="pt").input_ids
    reference = network.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=END)[0, ids.shape[1] :].tolist()
    assert list(together[0].ids) == reference[: len(together[0].ids)]
    assert together[0].text == tokenizer.decode(list(together[0].ids))


def test_sampling_depends_on_the_seed_alone_and_does_not_change_the_generator(model: tuple[Any, Any]) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, same, other = (complete(*model, PROMPTS, max_new_tokens=8, temperature=1.0, seed=seed) for seed in (1, 1, 2))
    assert one == same != other
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_completion_that_ends_at_once_is_empty(model: tuple[Any, Any]) -> None:
    network = model[0]
    with torch.no_grad():  # a model that ends the document at once after any prompt
        network.transformer.wte.weight.zero_()
        network.transformer.wte.weight[END] = 1.0
        network.transformer.ln_f.weight.zero_()
        network.transformer.ln_f.bias.fill_(1.0)
    completions = complete(*model, ["x = 1\n", "x = = 1\n", "pass", "def f(:"], max_new_tokens=4)
    assert [check_syntax(completion) for completion in completions] == ["parses", "broken"] * 2
    assert [(completion.text, completion.ended) for completion in completions] == [("", True)] * 4


def test_a_prompt_that_leaves_no_room_in_the_context_is_refused(model: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match=r"prompts: number 1 has \d+ tokens; .* the model's context of 64"):
        complete(*model, ["x", "def " * 60], max_new_tokens=8)


def test_the_prompts_are_the_same_for_any_chunk_size(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sagechain.pretraining.quality import final_evaluation
    from sagechain.pretraining.training.model import ModelShape, new_model

    tokenizer = AutoTokenizer.from_pretrained(data / "tokenizer")
    shape = ModelShape(vocabulary=400, context=16, layers=1, width=8, heads=1)
    given: tuple[Any, ...] = (
        new_model(shape, end_of_text=0, seed=0),
        tokenizer,
        *(TokenArray(data / "tokens", split, 400) for split in ("validation", "train")),
    )
    whole = final_evaluation.evaluate_completions(*given)
    monkeypatch.setattr(final_evaluation, "CHUNK", 7)
    assert final_evaluation.evaluate_completions(*given, batch=3) == whole
    assert sum(whole["completions"].values()) == 15
    assert whole["share_that_parses"] == whole["completions"]["parses"] / 15
    assert len(tokenizer(whole["longest_copy"]).input_ids) <= whole["longest_copy_tokens"] > 0
    train_ids = given[3][:].tolist()
    assert whole["longest_copy"] in tokenizer.decode(train_ids)
