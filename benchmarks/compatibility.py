"""Which of LangChain's standard tests pass, over which model? The table in README.md, and why the others fail.

Method: langchain-tests' two suites for chat models, as `tests/llms/test_standard.py` runs them over a rule-based model and
the `messages` wire, and `tests/llms/standard_smollm2.py` over the embedded model. The ceiling is the 60 tests less the
seven that cannot apply to a model that reads text.

    python benchmarks/compatibility.py           # --write puts the table into README.md
"""

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.standard_counts import ROWS, Outcomes, write_to_readme  # noqa: E402

SUITES = [str(ROOT / "tests" / "llms" / name) for name in ("test_standard.py", "standard_smollm2.py")]


def main() -> None:
    """Print the table, why tests failed, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a test or two of each, nothing is written")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    given = parser.parse_args()
    outcomes = Outcomes()
    part = ["-k", "test_init"] if given.smoke else []
    pytest.main(["-q", "--no-header", "--tb=no", "--rootdir", str(ROOT), *part, *SUITES], plugins=[outcomes])
    for row in ROWS:
        print(outcomes.line(row))
        for test, reason in outcomes.reasons[row].items():
            print(f"  {test}: {reason}")
        if given.write and outcomes.complete(row):
            write_to_readme(row, outcomes.line(row))
    table = {row: outcomes.count(row) for row in ROWS}
    print(json.dumps({"langchain-tests": version("langchain-tests"), "table": table}))


if __name__ == "__main__":
    main()
