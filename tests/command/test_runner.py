"""All agent scripts: help, and one line and an exit code for a mistake."""

import pytest
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


PROMPT = "def add(a, b):\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["llama2_chatbot", "Hi", "-p", "temprature=1"], 2, "llama2_chatbot: -p: 'temprature' is unknown."),
        (["llama2_chatbot", "Hi", "-m", LLAMA_URI], 1, "accept_eula"),
        (["llama2_assistant", "A tent?", "-m", "sagemaker:nowhere?family=falcon"], 1, "Endpoint nowhere of account"),
        (["llama2_assistant", "--beams", "2", "-m", FALCON_URI], 2, "num_beams: the tgi wire does not carry it"),
        (["falcon_chatbot", "sentimnt"], 2, "Did you mean 'sentiment'"),
        (["falcon_chatbot", "sentiment", "-v", "txt=x"], 2, "Did you mean 'text'"),
        (["falcon_chatbot", "-v", "text=x"], 2, "-v sets a variable of one use; name that use as the argument."),
        (["falcon_chatbot", "sentiment", "-v", "text"], 2, "not NAME=TEXT"),
        (["falcon_chain_of_thought", "coin-flips"], 2, "Did you mean 'coin-flip'"),
        (["codeparrot_completion", PROMPT, "--until", "blok"], 2, "until: 'blok' is unknown. Did you mean 'block'?"),
        (["codeparrot_completion", PROMPT, "-n", "0"], 2, "--candidates: Input should be greater than or equal to 1"),
        (["codeparrot_completion", ""], 2, "codeparrot_completion: prompt: '' is empty"),
        (["codeparrot_completion", PROMPT, "-m", "local:/no/folder"], 2, "the file '/no/folder' does not exist"),
        (["codeparrot_completion", PROMPT, "-n", "2", "-p", "temperature=0"], 2, "candidates: "),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    runtime: LocalRuntime, arguments: list[str], code: int, words: str
) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
