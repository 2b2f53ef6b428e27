"""The benchmarks run to their end, and their last line is JSON; their figures are not checked."""

import json
from pathlib import Path

import pytest

from tests.processes import run

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
long = (pytest.mark.prove, pytest.mark.timeout(1200))


@pytest.mark.parametrize(
    ("script", "figures"),
    [
        ("conversations.py", {"ratios", "langgraph"}),
        pytest.param("startup.py", {"startup"}, marks=long),
        pytest.param("endpoints.py", {"median", "boto3", "cores"}, marks=long),
        pytest.param("compatibility.py", {"table", "langchain-tests"}, marks=long),
        pytest.param("local_models.py", {"ratios", "xllamacpp"}, marks=long),
        pytest.param("pretraining.py", {"ratios", "datasets"}, marks=long),
        pytest.param("tool_calls.py", {"ways", "requests"}, marks=long),
    ],
)
def test_a_benchmark_ends_with_a_line_of_json(script: str, figures: set[str]) -> None:
    done = run(str(BENCHMARKS / script), "--smoke", check=True)
    assert figures <= json.loads(done.stdout.splitlines()[-1]).keys()
