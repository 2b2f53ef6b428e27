"""Errors in the words of the command line: options and arguments in place of Python's keyword arguments."""

import pytest

from tests.processes import SAGECHAIN, run

ROLE = "arn:aws:iam::000000000000:role/local"
DEPLOY = ("endpoints", "deploy", "parrot", "parrot/model", "--region", "us-east-1")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["ask", "Hi", "-p", "max_new_tokens=0"], "-p max_new_tokens: 0 is not a whole number of at least 1"),
        (["ask", "Hi", "-p", "temprature=1"], "-p: 'temprature' is unknown. Did you mean 'temperature'?"),
        (["ask", "Hi", "-m", "local:README.md"], "--model: 'README.md' is not a GGUF file"),
        (["solve", "Hi", "--strategy", "gues"], "--strategy: 'gues' is unknown. Known: direct, few-shot"),
        (["solve", "Hi", "--task", "coinflip"], "--task: 'coinflip' is unknown. Did you mean 'coin-flip'?"),
        (["complete", "x", "--until", "lin"], "--until: 'lin' is unknown. Did you mean 'line'?"),
        (["complete", "x", "-n", "two"], "--candidates: Input should be a valid integer"),
        ([*DEPLOY, "--role", ROLE, "--ttl", "5q"], "--ttl: '5q' is not a duration above 0 and up to a year"),
        ([*DEPLOY, "--role", "admin"], "--role: "),
        (["endpoints", "deploy", "a_b", "x", "--role", ROLE], "NAME: 'a_b' is not a name that SageMaker accepts"),
        ([*DEPLOY], "--role: not given; give the ARN"),
        (["local-aws", "--access-key", "???"], "--access-key: '???' is not an id"),
        (["local-aws", "--fail", "CreateEndpoint"], "--fail: 'CreateEndpoint' is not OPERATION=FAILURE"),
        (["local-aws", "--host", "0.0.0.0"], "--host: other machines reach '0.0.0.0'"),
        (["pretrain", "plan", "--preset", "demmo"], "--preset: there is no 'demmo'."),
        (["pretrain", "plan", "-p", "width=wide"], "-p width: Input should be a valid integer"),
        (["pretrain", "train", "nowhere", "--out", "x"], "DATA: 'nowhere' does not contain prepared data"),
        (["threads", "list", "--kept-in", "."], "--kept-in: '.' is not a file"),
        (["threads", "show"], "NAME is missing. Help: sagechain threads show --help"),
        (["ask", "Hi", "-m"], "Option '-m' requires an argument. Help: sagechain ask --help"),
        (["ask", "Hi", "--systm", "x"], "No such option: --systm. Did you mean --system? Help: sagechain ask --help"),
        (["aks"], "No such command 'aks'. Did you mean 'ask'? Help: sagechain --help"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_option(arguments: list[str], line: str) -> None:
    done = run(SAGECHAIN, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"sagechain: {line}")
    assert done.stderr.count("\n") == 1


def test_advice_names_options_instead_of_keyword_arguments() -> None:
    done = run(SAGECHAIN, "local-aws", "--host", "0.0.0.0")
    assert "(`--access-key ID`), or allow everybody (`--allow-anyone`)" in done.stderr
    assert "allow_anyone" not in done.stderr
