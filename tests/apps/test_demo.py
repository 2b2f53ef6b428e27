"""The demo runs, and shows what it promises."""

import re
import subprocess
import sys
from pathlib import Path


def test_the_demo_shows_conversation_stream_reasoning_and_what_was_real(smollm2: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("sagechain")), "demo"], capture_output=True, text=True, check=True
    )
    shown = done.stdout
    assert shown.count("You: What is my name?") == 2
    assert "— reset —" in shown
    pieces = re.search(r"\((\d+) pieces\)", shown)
    assert pieces is not None
    assert int(pieces[1]) > 5
    counts = {name: int(right) for name, right in re.findall(r"^(\S+): (\d+) of 20 right", shown, re.MULTILINE)}
    assert counts.keys() == {"direct", "few-shot-cot"}
    assert counts["few-shot-cot"] > counts["direct"]
    # 4 turns, a stream, and 2 × 20 questions.
    assert "(45 requests)" in shown
    assert "Local:" in shown
    assert done.stderr == ""
