"""`sagechain logs`: off until it is switched on, private, searchable, and never in an answer's way."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sagechain.local_aws import LocalRuntime

from tests.apps.test_cli import run
from tests.conftest import FALCON_URI

SHORT = ["-m", FALCON_URI, "-p", "max_new_tokens=2"]


@pytest.fixture
def log(runtime: LocalRuntime) -> Path:
    """The log, switched on and empty."""
    assert run("logs", "on").returncode == 0
    return Path(os.environ["SAGECHAIN_LOGS"])


def entries(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("logs", "list", "--json", *arguments).stdout)
    return found


def test_nothing_is_recorded_until_the_log_is_on(runtime: LocalRuntime) -> None:
    file = Path(os.environ["SAGECHAIN_LOGS"])
    assert run("ask", "A secret.", *SHORT).returncode == 0
    assert not file.exists()
    assert run("logs", "status").stdout.startswith("The log is off.\n")
    assert run("logs", "path").stdout == f"{file}\n"
    listed = run("logs")
    assert (listed.returncode, "`sagechain logs on` starts it" in listed.stderr) == (2, True)


def test_a_question_is_recorded_with_its_answer_and_no_credentials(log: Path) -> None:
    secret = ["-p", "aws_secret_access_key=hidden-key", "-p", "aws_access_key_id=AKIDHIDDEN"]
    answer = run("ask", "Hi.", "-s", "Be brief.", "-p", "temperature=0.5", *SHORT, *secret).stdout
    [entry] = entries()
    assert (entry["command"], entry["model"], entry["prompt"], entry["system"]) == (
        "ask",
        FALCON_URI,
        "Hi.",
        "Be brief.",
    )
    assert (entry["answer"], entry["finish_reason"], entry["error"]) == (answer.removesuffix("\n"), "length", None)
    assert entry["parameters"] == {"temperature": 0.5, "max_new_tokens": 2}
    assert entry["seconds"] > 0
    stored = log.read_bytes()
    assert b"hidden-key" not in stored
    assert b"AKIDHIDDEN" not in stored
    assert os.environ["AWS_SECRET_ACCESS_KEY"].encode() not in stored


def test_only_the_owner_can_read_it(log: Path) -> None:
    run("ask", "Hi.", *SHORT)
    assert log.stat().st_mode & 0o777 == 0o600


def test_solve_and_complete_are_recorded_and_no_log_is_obeyed(log: Path) -> None:
    run("solve", "Two and two?", "--strategy", "direct", *SHORT)
    completion = run("complete", "def f():", *SHORT).stdout
    for command in ("ask", "solve", "complete"):
        run(command, "Not this.", "--no-log", *SHORT)
    first, second = entries()
    assert (first["command"], first["prompt"], first["parameters"]["strategy"]) == ("solve", "Two and two?", "direct")
    assert (second["command"], second["prompt"], second["answer"]) == ("complete", "def f():", completion[:-1])


def test_a_failed_request_is_recorded_with_its_error(log: Path) -> None:
    run("ask", "Hi.", "-m", "sagemaker:nowhere?family=falcon")
    run("ask", "Hi.", "-p", "temprature=1", *SHORT)  # a mistake in the command is none
    [entry] = entries()
    assert "Endpoint nowhere" in entry["error"]
    assert "(failed)" in run("logs").stdout


def test_off_stops_and_clear_deletes(log: Path) -> None:
    run("ask", "One.", *SHORT)
    run("logs", "off")
    run("ask", "Two.", *SHORT)
    assert [entry["prompt"] for entry in entries()] == ["One."]
    refused = run("logs", "clear")
    assert (refused.returncode, log.exists()) == (2, True)
    assert run("logs", "clear", "--yes").returncode == 0
    assert not log.exists()


def test_list_show_and_filters(log: Path) -> None:
    for question in ("The first\nquestion.", "Café au lait?", "Third."):
        run("ask", question, *SHORT)
    lines = run("logs").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert lines[0].endswith("The first question.")
    assert run("logs", "-n", "1").stdout.splitlines() == lines[2:]
    assert entries("-m", "no-such-model") == []
    assert [entry["id"] for entry in entries("-m", "FALCON", "-n", "2")] == [2, 3]
    assert "\nPrompt:\nThe first\nquestion.\n" in run("logs", "show", "1").stdout
    assert run("logs", "show", "-r").stdout == f"{entries()[2]['answer']}\n"
    assert json.loads(run("logs", "show", "2", "--json").stdout)["prompt"] == "Café au lait?"
    missing = run("logs", "show", "9")
    assert (missing.returncode, missing.stderr) == (2, "sagechain: log: it has no entry 9\n")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["lait"], [2]),
        (["cafe"], [2]),
        (["question", "first"], [1]),
        (['"first question"'], [1]),
        (['"question first"'], []),
        (["first", "OR", "lait"], []),
        (['lait"'], [2]),
        (["lait*"], [2]),
        (["prompt:lait"], []),
        (["NEAR(lait"], []),
        (["^lait", "-au"], [2]),
    ],
)
def test_no_word_of_a_search_is_an_operator(log: Path, words: list[str], found: list[int]) -> None:
    for question in ("The first question.", "Café au lait?"):
        run("ask", question, *SHORT)
    done = run("logs", "search", "--json", "--", *words)
    assert done.returncode == 0, done.stderr
    assert [entry["id"] for entry in json.loads(done.stdout)] == found


def test_a_search_for_nothing_is_a_mistake(log: Path) -> None:
    run("ask", "Hi.", *SHORT)
    assert run("logs", "search", "--", "-*").stderr == (
        "sagechain: search: give a word or more; letters and digits are indexed\n"
    )


def spoil_with_text(file: Path) -> None:
    file.write_text("not a database " * 100, encoding="utf-8")


def spoil_with_another_program(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE entries (x)")


def spoil_with_a_folder(file: Path) -> None:
    file.mkdir()


@pytest.mark.parametrize("spoil", [spoil_with_text, spoil_with_another_program, spoil_with_a_folder])
def test_a_log_that_cannot_be_written_costs_one_note_and_no_answer(log: Path, spoil: Any) -> None:
    expected = run("ask", "Hi.", "--no-log", *SHORT).stdout
    spoil(log)
    done = run("ask", "Hi.", *SHORT)
    assert (done.returncode, done.stdout) == (0, expected)
    assert done.stderr.count("(Not logged: ") == 1
    listed = run("logs")
    assert (listed.returncode in (1, 2), listed.stderr.count("\n")) == (True, 1)
    assert "Traceback" not in listed.stderr


def test_a_locked_log_costs_one_note_and_no_answer(log: Path) -> None:
    run("ask", "Hi.", *SHORT)
    expected = run("ask", "Hi.", "--no-log", *SHORT).stdout
    with closing(sqlite3.connect(log)) as other:
        other.execute("BEGIN EXCLUSIVE")
        done = run("ask", "Hi.", *SHORT)
    assert (done.returncode, done.stdout) == (0, expected)
    assert "(Not logged: database is locked; " in done.stderr


def test_a_log_without_its_table_is_one_line(log: Path) -> None:
    run("ask", "Hi.", *SHORT)
    with closing(sqlite3.connect(log)) as other, other:
        other.execute("DROP TABLE entries")
    for arguments in (["logs"], ["logs", "status"], ["ask", "-c", "Hi.", *SHORT]):
        done = run(*arguments)
        assert done.returncode in (1, 2)
        assert done.stderr.count("\n") == 1, done.stderr


def test_a_conversation_is_continued_with_its_model_and_system_text(log: Path, runtime: LocalRuntime) -> None:
    first = run("ask", "My name is Ada.", "-s", "Be kind.", *SHORT).stdout.strip()
    done = run("ask", "-c", "My name?", "-p", "max_new_tokens=2")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"(Continues a conversation with {FALCON_URI}; turns so far: 1.)\n")
    sent = json.loads(runtime.requests[-1].body)["inputs"]
    assert sent == f"Be kind.\nUser: My name is Ada.\nAssistant: {first}\nUser: My name?\nAssistant:"
    assert [entry["conversation"] for entry in entries()] == [1, 1]
