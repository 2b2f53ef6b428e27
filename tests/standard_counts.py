"""Counts the outcomes of LangChain's standard suites, and reads and writes their table in the README.

The suites over X are the classes `TestUnitX` and `TestX`; `ROWS` has the name of X in the table.
"""

import re
from collections import Counter
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
TESTS = 60
"""In both suites of langchain-tests 1.1.9 together."""
ROWS = {
    "Llama2": "a rule-based model, family `llama2`",
    "Falcon": "a rule-based model, family `falcon`",
    "ChatML": "a rule-based model, family `chatml`",
    "MessagesWire": "the `messages` wire, a rule-based model behind it",
    "SmolLM2": "`local:smollm2`, 135 million weights, greedy",
}


class Outcomes:
    """A pytest plugin that records the outcome of each standard test, by row and test, and why it failed."""

    def __init__(self) -> None:
        self._outcomes: dict[str, dict[str, str]] = {row: {} for row in ROWS}
        self.reasons: dict[str, dict[str, str]] = {row: {} for row in ROWS}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record an outcome; set-up and tear-down count if they skip or fail the test."""
        owner, _, test = report.nodeid.partition("::")[2].partition("::")
        row = owner.removeprefix("Test").removeprefix("Unit")
        if row not in ROWS or (report.when != "call" and report.passed):
            return
        test = f"{owner}::{test}"
        self._outcomes[row][test] = report.outcome
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            self.reasons[row][test] = str(getattr(crash, "message", report.longrepr)).partition("\n")[0]

    def count(self, row: str) -> Counter[str]:
        """How many passed, were skipped, failed."""
        return Counter(self._outcomes[row].values())

    def line(self, row: str) -> str:
        """The row for the README's table."""
        count = self.count(row)
        return f"| {ROWS[row]} | {count['passed']} | {count['skipped']} | {count['failed']} |"

    def complete(self, row: str) -> bool:
        """Whether both suites ran as a whole over it."""
        return len(self._outcomes[row]) == TESTS

    def not_applicable(self, row: str) -> list[str]:
        """The tests that the suites skipped."""
        return sorted(test.partition("::")[2] for test, outcome in self._outcomes[row].items() if outcome == "skipped")


def line_in_readme(row: str) -> str:
    """The row in the README."""
    found = re.search(_line(row), README.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"README.md has no row for {ROWS[row]}"
    return found[0]


def write_to_readme(row: str, line: str) -> None:
    """Replace the row in the README."""
    text = README.read_text(encoding="utf-8")
    README.write_text(re.sub(_line(row), lambda _: line, text, flags=re.MULTILINE), encoding="utf-8")


def _line(row: str) -> str:
    return rf"^\| {re.escape(ROWS[row])} \|.*\|$"
