"""Text that is piped to a command: what is read, what is not waited for, what is not text."""

import pytest

from tests.processes import SAGECHAIN, run, start


@pytest.mark.parametrize("command", ["ask", "solve", "complete"])
def test_a_silent_pipe_does_not_hold_a_question_that_is_given(command: str, smollm2: object) -> None:
    with start(SAGECHAIN, command, "def f(x):", "-p", "max_new_tokens=2") as process:
        assert process.wait(timeout=60) in (0, 1)
        assert process.stderr.readline() == (
            "(Standard input sent nothing for 1 s, and is left out. `< /dev/null` avoids the wait.)\n"
        )


def test_a_pipe_that_is_the_question_is_waited_for() -> None:
    with start(SAGECHAIN, "ask", "-m", "nosuch:x") as process:
        assert process.stderr.readline() == "(Waiting for standard input …)\n"
        output, errors = process.communicate("Hi")
    assert (process.returncode, output) == (2, "")
    assert "'nosuch:x' is unknown" in errors


def test_a_pipe_that_stays_open_after_its_text_is_mentioned() -> None:
    with start(SAGECHAIN, "ask", "Sum up:", "-m", "nosuch:x") as process:
        assert process.stdin is not None
        process.stdin.write("Some text.")
        process.stdin.flush()
        assert process.stderr.readline() == "(Standard input is still open; waiting for its end …)\n"
        _, errors = process.communicate(" The rest.")
    assert process.returncode == 2
    assert "'nosuch:x' is unknown" in errors


@pytest.mark.parametrize("command", [["ask"], ["ask", "Sum up:"], ["solve"], ["complete"], ["complete", "def f():"]])
def test_bytes_that_are_not_text_are_refused_before_a_model_is_loaded(command: list[str], tmp_path: object) -> None:
    done = run("-c", PROGRAM, *command)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "sagechain: standard input: byte 4 is not utf-8 text (unexpected end of data); convert it, "
        "for example with `iconv -f latin1 -t utf-8`\n"
    )


PROGRAM = """
import os, sys
read, write = os.pipe()
os.write(write, b"caf\\xe9")
os.close(write)
os.dup2(read, 0)
from sagechain.apps.cli import main
main()
"""
