"""The demo runs, and prints all of its parts."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.processes import SAGECHAIN


@pytest.mark.prove
@pytest.mark.timeout(1200)
def test_the_demo_runs_the_agents_and_prints_their_real_results(smollm2: Path) -> None:
    done = subprocess.run([SAGECHAIN, "demo", "--seconds", "4"], capture_output=True, text=True, check=True)
    shown = done.stdout
    assert shown.count("You: What is my favourite colour?") == 2
    assert "— reset —" in shown
    assert "(before the reset: green is in the answer)" in shown
    assert "I don't know: our catalogue has nothing on that." in shown
    assert all(int(chunks) > 1 for chunks in re.findall(r"\((\d+) chunks\)", shown))
    assert len(re.findall(r"\((\d+) chunks\)", shown)) == 3
    counts = {name: int(right) for name, right in re.findall(r"^(\S+): (\d+) of 10 right", shown, re.MULTILINE)}
    assert counts.keys() == {"direct", "few-shot-cot"}
    assert counts["few-shot-cot"] > counts["direct"]
    # 4 turns of the chatbot, 1 of the assistant (the other needs no model), 3 uses, and 2 × 10 questions.
    assert "(28 requests)" in shown
    assert "Local:" in shown
    assert re.search(r"removed: near duplicate +\d+", shown)
    assert re.search(r"[\d,]+ weights, [\d,]+ tokens in \d+ s: [\d.]+ bits per byte of unseen code", shown)
    assert shown.count("Beginning:") == shown.count("Completion:") == 3
    assert "The chain of part 3 (code-generation), with this model in Falcon's place:" in shown
    # Progress, and no warning of a library.
    lines = done.stderr.splitlines()
    assert [line for line in lines if not line.startswith(("prepare: ", "train: ", "training "))] == []
