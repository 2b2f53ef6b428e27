"""Default parameters give way to every choice of the user and to the model's wire."""

import json

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from sagechain.command import carriers, with_defaults
from sagechain.llms import LlamaCppLLM, PromptedChatModel, load_llm
from sagechain.local_aws import LocalRuntime

from tests.conftest import LLAMA_URI


def test_a_default_is_overridden_by_a_choice_and_by_the_wire(runtime: LocalRuntime) -> None:
    llm = load_llm(LLAMA_URI, accept_eula=True, do_sample=False)
    defaults = {"max_new_tokens": 50, "temperature": 0.3, "seed": 7, "top_p": 0.9}
    with_defaults(PromptedChatModel(llm=llm, max_tokens=1), defaults).invoke("Hi")
    # The limit is chosen, `do_sample=False` (temperature 0 on this wire) excludes another temperature, and no seed is sent.
    parameters = {"max_new_tokens": 1, "temperature": 0, "top_p": 0.9}
    assert json.loads(runtime.requests[-1].body)["parameters"] == parameters


def test_any_other_chat_model_is_unchanged() -> None:
    chat = FakeListChatModel(responses=["x"])
    assert with_defaults(chat, {"temperature": 0}) is chat


def test_the_carriers_of_beams_are_those_that_do_not_refuse_them(llm: LlamaCppLLM) -> None:
    assert carriers("num_beams") == (
        ["the hf wire", "transformers"],
        [*(f"the {name} wire" for name in ("llama2-dialog", "llama2-text", "lmi", "messages", "tgi")), "llama.cpp"],
    )
    with pytest.raises(ValueError, match="num_beams"):
        llm.invoke("Hi", num_beams=2)
