"""pyright reads the samples as mypy does: each `assert_type` holds, and each `type: ignore` is needed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.prove
def test_pyright_agrees_with_mypy_on_the_samples() -> None:
    """Needs the command `pyright` (npm's, or PyPI's, which fetches npm's)."""
    if (pyright := shutil.which("pyright")) is None:
        pytest.skip("the command pyright is not installed")
    assert (ROOT / ".types" / "sagechain" / "llms").exists(), "run `make types` first: it makes these links"
    command = [pyright, "--pythonpath", sys.executable, "--outputjson", "tests/typing/samples.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    result = json.loads(done.stdout)
    found = result["generalDiagnostics"]
    assert result["summary"]["filesAnalyzed"] == 1
    assert [f"{each['range']['start']['line'] + 1}: {each['message']}" for each in found] == []
