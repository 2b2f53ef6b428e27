"""Copies and pickles of local models: they work, share the weights in memory, and carry none."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from sagechain.llms import HuggingFaceLLM, PromptedChatModel, TextModel, load_llm


@pytest.fixture(params=["llama.cpp", "transformers"])
def model(request: pytest.FixtureRequest, smollm2: Path) -> TextModel:
    if request.param == "llama.cpp":
        return load_llm(f"local:{smollm2}", max_new_tokens=4)
    tiny: HuggingFaceLLM = request.getfixturevalue("tiny")
    return tiny.with_fields(max_new_tokens=4)


def pickled(value: Any) -> Any:
    data = pickle.dumps(value)
    assert len(data) < 10_000
    return pickle.loads(data)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, pickled, lambda model: model.model_copy(deep=True)], ids=range(4)
)
def test_a_copy_answers_alike_and_shares_the_weights(model: TextModel, copied: Any) -> None:
    other = copied(model)
    assert other.asdict() == model.asdict()
    assert other.invoke("the quick") == model.invoke("the quick")
    assert getattr(other, "pipeline", None) is getattr(model, "pipeline", None)
    chat = PromptedChatModel(llm=model, max_tokens=3)
    assert copied(chat).invoke("Hi").text == chat.invoke("Hi").text


def test_a_pickle_whose_file_is_gone_names_the_file(gpt2: Path, tmp_path: Path) -> None:
    import shutil

    from tests.llms.checkpoints import load_exactly

    folder = shutil.copytree(gpt2, tmp_path / "gone")
    data = pickle.dumps(load_exactly(folder))
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match="gone' does not exist"):
        pickle.loads(data)
