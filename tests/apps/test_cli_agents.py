"""`sagechain agents`: every agent is listed, and runs as its module does."""

import pytest

from tests.processes import SAGECHAIN, run

AGENTS = ["codeparrot-completion", "falcon-chain-of-thought", "falcon-chatbot", "llama2-assistant", "llama2-chatbot"]


def test_every_agent_is_listed_with_a_line_about_it() -> None:
    lines = run(SAGECHAIN, "agents", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == AGENTS
    assert all(len(line.split(maxsplit=1)[1]) > 20 for line in lines)


@pytest.mark.parametrize("name", [*AGENTS, "llama2_chatbot"])
def test_an_agent_has_the_options_of_its_module(name: str) -> None:
    done = run(SAGECHAIN, "agents", "run", name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: sagechain agents run {name} [OPTIONS]" in done.stdout
    assert "--accept-eula" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["llama2-chatbt"], "agent: 'llama2-chatbt' is unknown. Did you mean 'llama2-chatbot'? Known: "),
        (["falcon-chatbot", "sentimnt"], "prompt: 'sentimnt' is unknown. Did you mean 'sentiment'?"),
        (["llama2-chatbot", "Hi", "-p", "temprature=1"], "-p: 'temprature' is unknown. Did you mean 'temperature'?"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], line: str) -> None:
    done = run(SAGECHAIN, "agents", "run", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"sagechain: {line}")
