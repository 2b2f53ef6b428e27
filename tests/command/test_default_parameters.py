"""Default parameters give way to every choice of the user and to the model's wire."""

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from sagechain.command import carriers, with_defaults
from sagechain.llms import LlamaCppLLM, PromptedChatModel, load_llm
from sagechain.local_aws import LocalRuntime

from tests.conftest import LLAMA_URI


def test_a_default_gives_way_to_a_choice_and_to_the_wire(runtime: LocalRuntime) -> None:
    llm = load_llm(LLAMA_URI, do_sample=False)
    defaults = {"max_new_tokens": 50, "temperature": 0.3, "seed": 7, "top_p": 0.9}
    chat = with_defaults(PromptedChatModel(llm=llm, max_tokens=9), defaults)
    assert isinstance(chat, PromptedChatModel)
    # The limit and `do_sample` are chosen, and this wire has no `seed`.
    assert (chat.max_tokens, chat.llm) == (9, llm.with_fields(top_p=0.9))


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
