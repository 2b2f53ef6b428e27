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
        ("raise FileNotFoundError(2, 'No such file', 'a.txt')", 1, "-c: No such file: 'a.txt'\n"),
    ],
)
def test_an_exit_or_an_error_is_its_code_and_its_message(body: str, code: int, errors: str) -> None:
    done = script(body)
    assert (done.returncode, done.stderr) == (code, errors)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("torch.nn", "-c: torch.nn: this needs the extra `transformers`, "),
        ("xllamacpp", "-c: xllamacpp: this needs the extra `local`, "),
        ("huggingface_hub", "-c: huggingface_hub: this needs the extra `local`, "),
        ("nosuch_package", "-c: the module 'nosuch_package' is not installed. `sagechain doctor` shows what is."),
    ],
)
def test_a_missing_module_is_one_line_that_names_its_extra(module: str, line: str) -> None:
    package = module.partition(".")[0]
    done = script(f"sys.modules[{package!r}] = None; raise ModuleNotFoundError('no module', name={module!r})")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(line)


def test_a_module_of_ours_that_is_missing_is_a_bug() -> None:
    assert "Traceback" in script("import sagechain.nosuch").stderr


def test_notes_never_reach_standard_output_where_standard_error_is_closed() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{SAGECHAIN} ask -m nosuch Hi 2>&-"], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.parametrize("redirection", ["2>&1 | true", "2>/dev/full", ">&- 2>&-"])
def test_an_error_that_nobody_can_read_keeps_its_exit_code(redirection: str) -> None:
    line = f"{SAGECHAIN} ask -m nosuch Hi {redirection}; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_libraries_warn_and_log_nothing_to_users() -> None:
    done = script(
        "import logging, warnings; warnings.warn('deprecated', UserWarning)\n"
        "    logging.getLogger('urllib3.connectionpool').warning('Retrying (Retry(total=4)) after connection broken')\n"
        "    logging.getLogger('botocore.credentials').warning('Refreshing temporary credentials failed')"
    )
    assert (done.returncode, done.stderr) == (0, "")


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
    assert (done.returncode, done.stderr) == (1, "sagechain: No space left on device. Free space on the disk.\n")


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
