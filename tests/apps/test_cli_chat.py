"""`sagechain chat`: conversations are kept by name, and go on where they ended."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from sagechain.chains import open_store
from sagechain.local_aws import LocalRuntime

from tests.apps.test_cli import run, start
from tests.conftest import FALCON_URI
from tests.processes import SAGECHAIN

CHAT = ("chat", "-m", FALCON_URI, "-p", "max_new_tokens=2", "-s", "")


def prompt(runtime: LocalRuntime) -> str:
    text: str = json.loads(runtime.requests[-1].body)["inputs"]
    return text


def test_a_conversation_goes_on_by_its_name_and_others_do_not_know_of_it(runtime: LocalRuntime) -> None:
    run(*CHAT, "--thread", "ada", stdin="My name is Ada.\n")
    run(*CHAT, "--thread", "ben", stdin="Hi.\n")
    assert prompt(runtime) == "User: Hi.\nAssistant:"
    done = run(*CHAT, "--thread", "ada", stdin="Who am I?\n")
    assert prompt(runtime).startswith("User: My name is Ada.\nAssistant:")
    assert prompt(runtime).endswith("\nUser: Who am I?\nAssistant:")
    assert done.stderr.startswith("(Thread ada, 1 turns so far.)\n")


def test_c_goes_on_with_the_last_conversation(runtime: LocalRuntime) -> None:
    run(*CHAT, "--thread", "ben", stdin="Hi.\n")
    run(*CHAT, stdin="My name is Ada.\n")
    run(*CHAT, "-c", stdin="Who am I?\n")
    assert prompt(runtime).startswith("User: My name is Ada.\nAssistant:")


def test_a_new_conversation_begins_where_none_is_named(runtime: LocalRuntime) -> None:
    run(*CHAT, stdin="My name is Ada.\n")
    run(*CHAT, stdin="Hi.\n")
    assert prompt(runtime) == "User: Hi.\nAssistant:"


def test_a_reset_conversation_is_forgotten_on_disk_too(runtime: LocalRuntime) -> None:
    run(*CHAT, "--thread", "ada", stdin="My name is Ada.\n/reset\n")
    run(*CHAT, "--thread", "ada", stdin="Who am I?\n")
    assert prompt(runtime) == "User: Who am I?\nAssistant:"


def test_a_chat_that_is_killed_in_mid_turn_goes_on_with_what_was_whole(runtime: LocalRuntime) -> None:
    run(*CHAT, "--thread", "ada", stdin="My name is Ada.\n")
    talking = start("chat", "-m", FALCON_URI, "-p", "max_new_tokens=1500", "-s", "", "--thread", "ada")
    assert talking.stdin is not None
    assert talking.stdout is not None
    talking.stdin.write("Tell me a very long story.\n")
    talking.stdin.flush()
    assert talking.stdout.read(1)
    talking.kill()
    talking.communicate()
    done = run(*CHAT, "-c", stdin="Who am I?\n")
    assert done.returncode == 0
    assert "story" not in prompt(runtime)
    assert prompt(runtime).startswith("User: My name is Ada.")


def test_what_cannot_be_gone_on_with_is_a_usage_error(tmp_path: Path) -> None:
    for arguments, complaint in [
        (["-c"], "there is no conversation yet"),
        (["-c", "--thread", "ada"], "not both"),
        (["--kept-in", str(tmp_path / "no.txt")], "is not a SQLite database of threads"),
        (["--thread", ""], "thread: '' is no name"),
    ]:
        (tmp_path / "no.txt").write_text("This is a text of some length, and no file of SQLite's.\n" * 30)
        done = run(*CHAT, *arguments, stdin="Hi.\n")
        assert done.returncode == 2
        assert complaint in done.stderr
        assert "Traceback" not in done.stderr


def test_bytes_that_are_no_utf_8_are_a_usage_error(runtime: LocalRuntime) -> None:
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
        talking = start(*CHAT, "--thread", "ada")
        assert talking.stdin is not None
        assert talking.stderr is not None
        assert talking.stderr.readline() == "(Thread ada, 1 turns so far.)\n"
        talking.stdin.write("Hi.\n")
        talking.stdin.flush()
        time.sleep(0.5)
        assert talking.poll() is None
        talking.send_signal(signal.SIGINT)
        answer, complaint = talking.communicate(timeout=10)
    assert (talking.returncode, answer, complaint) == (130, "", "")
    assert run(*CHAT, "--thread", "ada", stdin="Hi.\n").returncode == 0
