"""How a program of `run` ends: what becomes of errors, exits and output that cannot be written."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.processes import SAGECHAIN, run


def script(body: str) -> "subprocess.CompletedProcess[str]":
    """Run an agent script with this body."""
    return run("-c", f"import sys\nfrom sagechain.command import run\ndef script() -> None:\n    {body}\nrun(script)")


@pytest.mark.parametrize(
    ("body", "code", "errors"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(0)", 0, ""),
        ("sys.exit(7)", 7, ""),
        ("sys.exit('fatal: no stock')", 1, "-c: fatal: no stock\n"),
        ("raise SystemExit(['no', 'stock'])", 1, "-c: ['no', 'stock']\n"),
        ("raise ValueError('tent: 5 is too many')", 2, "-c: tent: 5 is too many\n"),
        ("raise PermissionError(13, 'Permission denied', 'a.txt')", 1, "-c: [Errno 13] Permission denied: 'a.txt'\n"),
    ],
)
def test_an_exit_or_an_error_is_its_code_and_its_message(body: str, code: int, errors: str) -> None:
    done = script(body)
    assert (done.returncode, done.stderr) == (code, errors)


def test_a_bug_keeps_its_traceback() -> None:
    done = script("raise RuntimeError('dictionary changed size during iteration')")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_field_that_refuses_a_value_is_named_once() -> None:
    done = run(SAGECHAIN, "ask", "Hi", "-m", "sagemaker:e?family=nosuch&region=us-east-1")
    assert done.returncode == 2
    assert done.stderr.startswith("sagechain: family: 'nosuch' is unknown.")
    assert done.stderr.count("family:") == 1


@pytest.mark.parametrize(
    "command", [["prompts", "list"], ["prompts", "show", "recipe"], ["models", "list"], ["--help"]]
)
def test_a_full_disk_is_one_line_and_exit_code_1(command: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [SAGECHAIN, *command], stdout=full, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "sagechain: [Errno 28] No space left on device\n")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without an account")
def test_without_a_home_the_message_names_the_variables() -> None:
    # An id without an account, as in a container; a user namespace is not needed for that.
    program = (
        "import os; os.setgroups([]); os.setgid(54321); os.setuid(54321)\n"
        "import platformdirs\n"
        "from sagechain.command import run\n"
        "def script() -> None:\n"
        "    platformdirs.user_data_path('sagechain')\n"
        "run(script)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HOME" and not name.startswith("XDG_")}
    done = run("-c", program, env=environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("-c: could not determine the home directory")
    assert "XDG_DATA_HOME" in done.stderr
    assert done.stderr.count("\n") == 1


AT_A_QUESTION = """
import fcntl, os, pty, signal, sys, termios, threading
from sagechain.apps.cli.confirmation import confirm
from sagechain.command import run

signal.signal(signal.SIGINT, signal.default_int_handler)
keyboard, terminal = pty.openpty()
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
os.dup2(terminal, 0)
keys = sys.argv.pop().encode()

def script() -> None:
    threading.Timer(0.2, os.write, (keyboard, keys)).start()
    confirm("Delete it?")
    print("deleted")

run(script)
"""


@pytest.mark.parametrize(
    ("keys", "code", "output"), [("\x03", 130, ""), ("\x04", 1, ""), ("n\n", 1, ""), ("y\n", 0, "deleted\n")]
)
def test_ctrl_c_at_a_question_is_exit_code_130(keys: str, code: int, output: str) -> None:
    done = run("-c", AT_A_QUESTION, keys, start_new_session=True)
    assert (done.returncode, done.stdout.strip(" ")) == (code, output)  # click prints a blank for readline
