"""The examples in docstrings run, links lead to existing files, and `make help` names every task.

What README and guide show is run by `conftest.py` at the top.
"""

import doctest
import importlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("module", ["prompts.escaping", "llms.stop_strings"])
def test_the_examples_in_docstrings_run(module: str) -> None:
    results = doctest.testmod(importlib.import_module(f"sagechain.{module}"))
    assert results.attempted > 0
    assert results.failed == 0


def test_make_help_has_a_line_for_each_task() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    tasks = [line.split()[1] for line in shown.splitlines()]
    assert tasks == ["help", "install", "demo", "test", "prove-short", "prove", "test-deploy", "lint", "types", "bench",
                     "cassettes", "docs", "clean"]  # fmt: skip


def test_docstring_and_document_links_name_files_that_exist() -> None:
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
