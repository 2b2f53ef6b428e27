"""Run what the pages show: the Python blocks of README.md and docs/, and the lines of `console` blocks that begin with `$`.

The models' own words differ from one processor to the next, so the output below a command is an example and not compared.
"""

import os
from pathlib import Path
from typing import Any

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

# Sybil finds its fixtures by name in this module; pytest shows it none of those in tests/conftest.py.
from tests.conftest import llm, made_up_credentials, running_runtime, runtime, smollm2
from tests.processes import shell

__all__ = ["llm", "made_up_credentials", "running_runtime", "runtime", "smollm2"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--real", action="store_true", help="record cassettes against real endpoints (see CONTRIBUTING.md)"
    )
    parser.addoption("--write-docs", action="store_true", help="write the pages of the guide that tests make")


def pytest_xdist_auto_num_workers() -> int:
    """One test process per processor that this process may use, at most four: each loads llama.cpp and torch and starts a
    PostgreSQL server, so more need much memory and are not faster. (xdist itself counts all cores of the machine.)"""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(4, processors or 1)


@pytest.fixture
def page(made_up_credentials: None, runtime: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page's examples run in an empty folder, with the local runtime in reach: its two endpoints, and all of its AWS."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", runtime.url)
    monkeypatch.setenv("SAGECHAIN_ROLE", "arn:aws:iam::000000000000:role/local")
    monkeypatch.setenv("SAGECHAIN_STATE", str(tmp_path / "state"))


def run_commands(example: Example) -> None:
    """Every command of a block exits with code 0."""
    commands = [line.removeprefix("$ ") for line in str(example.parsed).splitlines() if line.startswith("$ ")]
    assert commands, "a console block that shows no command"
    for command in commands:
        done = shell(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), CodeBlockParser("console", run_commands), SkipParser()],
    patterns=["README.md", "docs/*.md"],
    fixtures=["page"],
).pytest()
