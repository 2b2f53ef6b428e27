"""`sagechain ask`: words, files, output formats, and mistakes that are reported before a model is loaded."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sagechain.local_aws import LocalRuntime

from tests.apps.test_cli import run
from tests.conftest import FALCON_URI

SHORT = ["-m", FALCON_URI, "-p", "max_new_tokens=2"]


def prompt_of(runtime: LocalRuntime) -> str:
    text: str = json.loads(runtime.requests[-1].body)["inputs"]
    return text.removeprefix("User: ").removesuffix("\nAssistant:")


@pytest.mark.parametrize(
    ("arguments", "question"),
    [
        (["what", "is", "the", "capital", "of", "France?", *SHORT], "what is the capital of France?"),
        ([*SHORT, "what", "is", "this?"], "what is this?"),
        (["what", "is", *SHORT, "this?"], "what is this?"),
        ([*SHORT, "--", "what", "does", "-v", "--help", "mean?"], "what does -v --help mean?"),
        (["two  blanks", *SHORT], "two  blanks"),
    ],
)
def test_words_without_quotes_are_one_question(runtime: LocalRuntime, arguments: list[str], question: str) -> None:
    done = run("ask", *arguments)
    assert (done.returncode, prompt_of(runtime)) == (0, question), done.stderr


def test_solve_joins_words_too(runtime: LocalRuntime) -> None:
    run("solve", "Two", "and", "two?", "--strategy", "direct", *SHORT)
    assert "Q: Two and two?\nA:" in prompt_of(runtime)


@pytest.mark.parametrize(
    "command", [[], ["ask"], ["chat"], ["prompts"], ["prompts", "add"], ["logs"], ["logs", "list"]]
)
def test_h_shows_the_help(command: list[str]) -> None:
    short, long = run(*command, "-h"), run(*command, "--help")
    assert short.returncode == 0
    assert "Usage: sagechain" in short.stdout
    assert short.stdout == long.stdout


def test_files_come_before_the_question_each_under_its_name(runtime: LocalRuntime, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("First.\r\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("﻿Second.\n\n", encoding="utf-8")
    done = run("ask", "-f", "a.txt", "-f", "b.txt", "Sum up.", *SHORT, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert prompt_of(runtime) == "File a.txt:\n```\nFirst.\n```\n\nFile b.txt:\n```\nSecond.\n```\n\nSum up."


def test_a_pattern_names_its_files_once_and_sorted(runtime: LocalRuntime, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.py", "a.py", "deep/c.py", "d.txt"):
        (tmp_path / name).write_text(f"# {name}", encoding="utf-8")
    assert run("ask", "-f", "b.py", "-f", "**/*.py", *SHORT, cwd=tmp_path).returncode == 0
    lines = prompt_of(runtime).splitlines()
    assert [line for line in lines if line.startswith("File")] == ["File b.py:", "File a.py:", "File deep/c.py:"]


def test_standard_input_may_be_a_file(runtime: LocalRuntime) -> None:
    assert run("ask", "-f", "-", "Sum up.", *SHORT, stdin="Some text.").returncode == 0
    assert prompt_of(runtime) == "File standard input:\n```\nSome text.\n```\n\nSum up."


def test_files_fill_the_variable_that_a_prompt_misses(runtime: LocalRuntime, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Text.", encoding="utf-8")
    assert run("ask", "-t", "summary", "-f", "a.txt", *SHORT, cwd=tmp_path).returncode == 0
    assert prompt_of(runtime) == "Summarize:\n\nFile a.txt:\n```\nText.\n```"


def test_json_has_the_answer_and_its_figures(smollm2: Path) -> None:
    done = run("ask", "Hi.", "--json", "-p", "max_new_tokens=2")
    report: dict[str, Any] = json.loads(done.stdout)
    assert list(report) == ["model", "answer", "finish_reason", "usage", "seconds"]
    assert (report["model"], report["finish_reason"]) == ("local:smollm2", "length")
    assert report["usage"]["output_tokens"] == 2
    assert report["usage"]["total_tokens"] == report["usage"]["input_tokens"] + 2


def test_usage_is_a_line_on_standard_error(smollm2: Path) -> None:
    done = run("ask", "Hi.", "-u", "-p", "max_new_tokens=2", "--quiet")
    assert done.returncode == 2
    done = run("ask", "Hi.", "-u", "-p", "max_new_tokens=2")
    assert re.search(r"^\(\d+ tokens in, 2 out, \d+\.\d\d s\.\)$", done.stderr, re.MULTILINE)


def test_an_endpoint_that_reports_no_tokens_is_said_to(runtime: LocalRuntime) -> None:
    assert "(the model reports no tokens, " in run("ask", "Hi.", "-u", *SHORT).stderr


def test_without_a_stream_the_answer_is_one_request_and_the_same(runtime: LocalRuntime) -> None:
    streamed, whole = run("ask", "Hi.", *SHORT), run("ask", "Hi.", "--no-stream", *SHORT)
    assert whole.stdout == streamed.stdout
    assert runtime.requests[-1].path.endswith("/invocations")


def test_quiet_prints_no_notes_but_errors(runtime: LocalRuntime) -> None:
    noted, quiet = run("ask", "Hi.", *SHORT), run("ask", "Hi.", "--quiet", *SHORT)
    assert "truncated" in noted.stderr
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, noted.stdout, "")
    failed = run("ask", "Hi.", "--quiet", "-m", "sagemaker:nowhere?family=falcon")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("sagechain: nowhere")


def test_verbose_shows_the_prompt_and_its_parameters_and_no_secrets(runtime: LocalRuntime) -> None:
    secret = ["-p", "aws_secret_access_key=hidden-secret", "-p", "aws_access_key_id=AKIDHIDDEN"]
    done = run("ask", "Hi.", "--verbose", "-s", "Be brief.", *SHORT, *secret)
    assert done.returncode == 0, done.stderr
    assert f"(Request to {FALCON_URI}:)\n  max_new_tokens=2\n" in done.stderr
    assert "(Prompt:)\nBe brief.\nUser: Hi.\nAssistant:\n" in done.stderr
    assert "HIDDEN" not in done.stderr.upper().replace("(HIDDEN", "")


def test_a_schema_holds_for_the_answer(smollm2: Path) -> None:
    done = run("ask", "--schema", "name, age int", "Ada is 36 years old.")
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert value.keys() == {"name", "age"}
    assert isinstance(value["age"], int)
    reported = json.loads(run("ask", "--schema", "age int", "--json", "Ada is 36 years old.").stdout)
    assert isinstance(reported["answer"]["age"], int)


def test_an_answer_outside_the_schema_is_one_line(runtime: LocalRuntime) -> None:
    done = run("ask", "--schema", "age int", "Hi.", *SHORT)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "the answer does not match the schema" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-f", "missing.txt"], "-f missing.txt: cannot be read: No such file or directory"),
        (["-f", "none/*.py"], "-f none/*.py: no file matches this pattern"),
        (["-f", "."], "-f .: this is a folder; name its files, for example './*'"),
        (["-f", "binary"], "-f binary: a binary file; only text can be sent"),
        (["-f", "latin1"], "-f latin1: not UTF-8 text: byte 4"),
        (["-f", "empty"], "-f empty: the file is empty"),
        (["-f", "long"], "-f long: the files of a question may have 4,000,000 bytes in all"),
        (["-f", "/dev/zero"], "-f /dev/zero: the files of a question may have"),
        (["-f", "https://example.com/x"], "-f https://example.com/x: only files are read"),
        (["--schema", "{"], "--schema: not JSON"),
        (["--schema", "[1]"], "is not NAME, NAME TYPE"),
        (["--schema", "age integer"], "--schema: type of age: 'integer' is unknown. Did you mean 'int'?"),
        (["--schema", "missing.json"], "--schema: the file 'missing.json' does not exist"),
        (["--schema", '{"type": "dict"}'], "'dict' is unknown"),
        (["--schema", "a", "-T", "m:f"], "give --schema or --tool, not both"),
        (["--quiet", "-u"], "give --quiet or --usage, not both"),
        (["--tool", "m"], "--tool m: give MODULE:FUNCTION or FILE.py:FUNCTION"),
        (["--tool", "no_such:f"], "--tool no_such:f: importing no_such failed: ModuleNotFoundError"),
        (
            ["--tool", "broken.py:f"],
            "--tool broken.py:f: importing broken.py failed: ZeroDivisionError: division by zero",
        ),
        (["--tool", "leaving.py:f"], "importing leaving.py failed: SystemExit: 3"),
        (["--tool", "json:nope"], "--tool json:nope: json has no 'nope'"),
        (["--tool", "json:__name__"], "neither a function nor a LangChain tool, but str"),
        (["--tool", "bare.py:f"], "not usable as a tool"),
        (["-c"], "--continue: no conversation is stored; `sagechain logs on`"),
    ],
)
def test_a_mistake_is_one_line_before_a_model_is_loaded(tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "binary").write_bytes(b"ELF\0\1")
    (tmp_path / "latin1").write_bytes(b"caf\xe9 noir")
    (tmp_path / "empty").write_text(" \n", encoding="utf-8")
    (tmp_path / "long").write_text("x" * 4_000_001, encoding="utf-8")
    (tmp_path / "broken.py").write_text("1 / 0\n", encoding="utf-8")
    (tmp_path / "leaving.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    (tmp_path / "bare.py").write_text("def f(x): ...\n", encoding="utf-8")
    done = run("ask", *arguments, "Hi.", "-m", "local:/no/model.gguf", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_the_help_of_ask_is_cheap() -> None:
    from tests.test_imports import NOT_FOR_HELP, loaded

    script = "sys.argv = ['sagechain', 'ask', '--help']\nfrom sagechain.apps.cli import main\nmain()"
    assert loaded(script) & NOT_FOR_HELP == set()
