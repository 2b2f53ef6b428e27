"""What the scripts share: help, exit codes, the licence, suggestions that give way."""

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from sagechain.command import carriers, with_defaults
from sagechain.llms import LlamaCppLLM, PromptedChatModel, load_llm
from sagechain.local_aws import LocalRuntime

from tests.agents.scripts import run
from tests.conftest import FALCON_URI, LLAMA_URI

AGENTS = ("llama2_chatbot", "llama2_assistant", "falcon_chatbot", "falcon_chain_of_thought", "codeparrot_completion")


@pytest.mark.parametrize("agent", AGENTS)
def test_every_script_has_help_with_an_example(agent: str) -> None:
    done = run(agent, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: python -m sagechain.agents.{agent}" in done.stdout
    assert "Example: python -m sagechain.agents." in " ".join(done.stdout.split())
    for option in ("--model", "--accept-eula", "-p NAME=VALUE"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["llama2_chatbot", "Hi", "-p", "temprature=1"], 2, "llama2_chatbot: parameter: 'temprature' is unknown."),
        (["llama2_chatbot", "Hi", "-m", LLAMA_URI], 1, "accept_eula"),
        (["llama2_assistant", "A tent?", "-m", "sagemaker:nowhere?family=falcon"], 1, "Endpoint nowhere of account"),
        (["llama2_assistant", "--beams", "2", "-m", FALCON_URI], 2, "num_beams: the tgi wire does not carry it"),
        (["falcon_chatbot", "sentimnt"], 2, "Did you mean 'sentiment'"),
        (["falcon_chatbot", "sentiment", "-v", "txt=x"], 2, "Did you mean 'text'"),
        (["falcon_chatbot", "-v", "text=x"], 2, "-v fills one use; name it."),
        (["falcon_chatbot", "sentiment", "-v", "text"], 2, "not NAME=TEXT"),
        (["falcon_chain_of_thought", "coin-flips"], 2, "Did you mean 'coin-flip'"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    runtime: LocalRuntime, arguments: list[str], code: int, words: str
) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_suggestion_gives_way_to_a_choice_and_to_the_wire(runtime: LocalRuntime) -> None:
    suggested = {"max_new_tokens": 50, "temperature": 0.3, "seed": 7, "top_p": 0.9}
    chat = with_defaults(PromptedChatModel(llm=load_llm(LLAMA_URI, do_sample=False), max_tokens=9), suggested)
    assert isinstance(chat, PromptedChatModel)
    assert chat.max_tokens == 9
    assert isinstance(chat.llm, type(load_llm(LLAMA_URI)))
    assert chat.llm._parameters(None, {}).given() == {"do_sample": False, "top_p": 0.9}


def test_any_other_chat_model_stays_as_it_is() -> None:
    chat = FakeListChatModel(responses=["x"])
    assert with_defaults(chat, {"temperature": 0}) is chat


def test_who_carries_beams_is_what_the_tables_say(llm: LlamaCppLLM) -> None:
    assert carriers("num_beams") == (
        ["the hf wire", "transformers"],
        [*(f"the {name} wire" for name in ("llama2-dialog", "llama2-text", "lmi", "messages", "tgi")), "llama.cpp"],
    )
    with pytest.raises(ValueError, match="num_beams"):
        llm.invoke("Hi", num_beams=2)
