"""The script that pip installs, in new interpreters: the exit codes. Everything else of the command is tested in forks."""

import signal
import subprocess
import sys

import pytest

from tests.processes import SAGECHAIN

REFUSED = "postgresql://me@127.0.0.1:1/db"


@pytest.mark.parametrize(
    ("command", "exit_code"),
    [
        ([SAGECHAIN, "--version"], 0),
        ([sys.executable, "-m", "sagechain", "--version"], 0),
        ([SAGECHAIN, "threads", "list", "--kept-in", REFUSED], 1),
        ([SAGECHAIN, "ask"], 2),
    ],
)
def test_the_exit_code_distinguishes_success_failure_and_misuse(command: list[str], exit_code: int) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == exit_code
    assert (done.stdout == "", done.stderr == "") == (exit_code != 0, exit_code == 0)


def test_ctrl_c_is_exit_code_130() -> None:
    with subprocess.Popen(
        [SAGECHAIN, "local-aws", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("Serving ")
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
