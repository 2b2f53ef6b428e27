"""The benchmarks run to their end, and their last line is JSON; their figures are nobody's test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("script", "figures"),
    [
        ("startup.py", {"startup"}),
        ("endpoints.py", {"median", "boto3", "cores"}),
        ("conversations.py", {"ratios", "langgraph"}),
        ("compatibility.py", {"table", "langchain-tests"}),
        ("local_models.py", {"ratios", "xllamacpp"}),
        ("pretraining.py", {"ratios", "datasets"}),
        ("tool_calls.py", {"ways", "requests"}),
    ],
)
def test_a_benchmark_ends_with_a_line_of_json(script: str, figures: set[str]) -> None:
    command = [sys.executable, str(BENCHMARKS / script), "--smoke"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    assert figures <= json.loads(done.stdout.splitlines()[-1]).keys()
