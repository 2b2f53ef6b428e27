"""`sagechain chat`: conversations are stored by name, and continue where they ended."""

import array
import fcntl
import json
import os
import signal
import subprocess
import termios
from pathlib import Path
from typing import IO

from sagechain.chains import open_store
from sagechain.local_aws import LocalRuntime

from tests.apps.test_cli import run, start
from tests.conftest import FALCON_URI
from tests.processes import SAGECHAIN
from tests.waiting import wait_until

CHAT = ("chat", "-m", FALCON_URI, "-p", "max_new_tokens=2", "-s", "")


def unread_bytes(pipe: IO[str]) -> int:
    """The number of bytes in a pipe that its reader has not read yet."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe.fileno(), termios.FIONREAD, count)
    return count[0]


def prompt(runtime: LocalRuntime) -> str:
    text: str = json.loads(runtime.requests[-1].body)["inputs"]
    return text


def test_a_conversation_continues_by_its_name_and_shares_nothing_with_others(runtime: LocalRuntime) -> None:
    run(*CHAT, "--thread", "ada", stdin="My name is Ada.\n")
    run(*CHAT, "--thread", "ben", stdin="Hi.\n")
    assert prompt(runtime) == "User: Hi.\nAssistant:"
    done = run(*CHAT, "--thread", "ada", stdin="Who am I?\n")
    assert prompt(runtime).startswith("User: My name is Ada.\nAssistant:")
    assert prompt(runtime).endswith("\nUser: Who am I?\nAssistant:")
    assert done.stderr.startswith("(Thread ada, 1 turns so far.)\n")


def test_c_continues_the_last_conversation(runtime: LocalRuntime) -> None:
    run(*CHAT, "--thread", "ben", stdin="Hi.\n")
    run(*CHAT, stdin="My name is Ada.\n")
    run(*CHAT, "-c", stdin="Who am I?\n")
    assert prompt(runtime).startswith("User: My name is Ada.\nAssistant:")


def test_without_a_name_a_new_conversation_starts(runtime: LocalRuntime) -> None:
    run(*CHAT, stdin="My name is Ada.\n")
    run(*CHAT, stdin="Hi.\n")
    assert prompt(runtime) == "User: Hi.\nAssistant:"


def test_a_reset_conversation_is_forgotten_on_disk_too(runtime: LocalRuntime) -> None:
    run(*CHAT, "--thread", "ada", stdin="My name is Ada.\n/reset\n")
    run(*CHAT, "--thread", "ada", stdin="Who am I?\n")
    assert prompt(runtime) == "User: Who am I?\nAssistant:"


def test_a_chat_killed_during_a_turn_continues_after_its_last_complete_turn(runtime: LocalRuntime) -> None:
    run(*CHAT, "--thread", "ada", stdin="My name is Ada.\n")
    chat = start("chat", "-m", FALCON_URI, "-p", "max_new_tokens=1500", "-s", "", "--thread", "ada")
    assert chat.stdin is not None
    assert chat.stdout is not None
    chat.stdin.write("Tell me a very long story.\n")
    chat.stdin.flush()
    assert chat.stdout.read(1)
    chat.kill()
    chat.communicate()
    done = run(*CHAT, "-c", stdin="Who am I?\n")
    assert done.returncode == 0
    assert "story" not in prompt(runtime)
    assert prompt(runtime).startswith("User: My name is Ada.")


def test_a_conversation_that_cannot_be_continued_is_a_usage_error(tmp_path: Path) -> None:
    for arguments, message in [
        (["-c"], "no conversation is stored yet"),
        (["-c", "--thread", "ada"], "not both"),
        (["--kept-in", str(tmp_path / "no.txt")], "is not a SQLite database"),
        (["--thread", ""], "thread: '' is not a valid name"),
    ]:
        (tmp_path / "no.txt").write_text("This is a long text, not an SQLite file.\n" * 30)
        done = run(*CHAT, *arguments, stdin="Hi.\n")
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_bytes_that_are_not_utf_8_are_a_usage_error(runtime: LocalRuntime) -> None:
    before = len(runtime.requests)
    done = subprocess.run(
        [SAGECHAIN, *CHAT], input=b"caf\xe9\n", capture_output=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Traceback" not in done.stderr
    assert len(runtime.requests) == before


def test_a_chat_that_waits_for_its_thread_ends_on_ctrl_c(runtime: LocalRuntime) -> None:
    run(*CHAT, "--thread", "ada", stdin="My name is Ada.\n")
    with open_store(os.environ["SAGECHAIN_THREADS"]) as store, store.turn("ada"):
        chat = start(*CHAT, "--thread", "ada")
        stdin = chat.stdin
        assert stdin is not None
        assert chat.stderr is not None
        assert chat.stderr.readline() == "(Thread ada, 1 turns so far.)\n"
        stdin.write("Hi.\n")
        stdin.flush()
        wait_until(lambda: unread_bytes(stdin) == 0, 60)
        assert chat.poll() is None
        chat.send_signal(signal.SIGINT)
        answer, message = chat.communicate(timeout=60)
    assert (chat.returncode, answer, message) == (130, "", "")
    assert run(*CHAT, "--thread", "ada", stdin="Hi.\n").returncode == 0
