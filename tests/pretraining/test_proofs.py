"""Long proofs (`make prove`): exact resumes at full size, and flat memory."""

import json
import random
import subprocess
import sys
import time
from keyword import iskeyword
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.prove, pytest.mark.timeout(3_600)]

TOKENS = 300_000
A_STEP = 2_048  # tokens, of the preset `demo`
TRAIN = """
import sys
from sagechain.pretraining import train
train(sys.argv[1], sys.argv[2], tokens=int(sys.argv[3]), samples=False)
"""


@pytest.fixture(scope="module")
def stdlib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sagechain.pretraining import prepare

    return prepare("stdlib", tmp_path_factory.mktemp("stdlib") / "data")


def launched(script: Path, ranks: int, data: Path, run: Path) -> "subprocess.Popen[bytes]":
    program = [sys.executable, str(script)]
    if ranks > 1:
        program = [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks), str(script)
        ]  # fmt: skip
    return subprocess.Popen([*program, str(data), str(run), str(TOKENS)])


def saved(run: Path) -> int:
    """Tokens that the newest checkpoint was trained on."""
    return max((int(folder.name[5:]) for folder in run.glob("checkpoints/step-*")), default=0) * A_STEP


def wait_for(tokens: float, run: Path, process: "subprocess.Popen[bytes]") -> None:
    """Wait for a newer checkpoint, and return its number of tokens."""
    before = saved(run)
    while saved(run) < max(tokens, before + 1):
        assert process.poll() is None
        time.sleep(0.2)


def manifest(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    return found


@pytest.mark.parametrize("ranks", [1, 2])
def test_three_kills_at_random_moments_change_no_weight(stdlib: Path, tmp_path: Path, ranks: int) -> None:
    script = tmp_path / "script.py"
    script.write_text(TRAIN)
    assert launched(script, ranks, stdlib, tmp_path / "whole").wait() == 0
    for earliest in (0.05, 0.25, 0.5):
        share = earliest + random.uniform(0, 0.15)
        process = launched(script, ranks, stdlib, tmp_path / "killed")
        wait_for(share * TOKENS, tmp_path / "killed", process)
        time.sleep(random.uniform(0, 3))
        for each in (*psutil.Process(process.pid).children(recursive=True), process):  # a launcher's stand alone
            each.kill()
        process.wait()
    assert launched(script, ranks, stdlib, tmp_path / "killed").wait() == 0
    print(f"{ranks} ranks: resumed at {manifest(tmp_path / 'killed')['resumed_at_tokens']} tokens of {TOKENS:,}")
    assert len(manifest(tmp_path / "killed")["resumed_at_tokens"]) == 3
    assert manifest(tmp_path / "killed")["weights_sha256"] == manifest(tmp_path / "whole")["weights_sha256"]


PREPARE = r"""
import re, resource, sys
from pathlib import Path
from sagechain.pretraining import prepare
prepare(sys.argv[1], sys.argv[2], workers=2)
# getrusage would include the peak of the process that this one was forked from.
[own] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
print(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_prepare_needs_flat_memory_and_linear_time(stdlib: Path, tmp_path: Path) -> None:
    peaks, seconds = [], []
    for copies in (1, 20):
        source = tmp_path / f"source-{copies}"
        source.mkdir()
        write_copies(stdlib, source, copies)
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", PREPARE, str(source), str(tmp_path / f"data-{copies}")],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        seconds.append(time.monotonic() - began)
        peaks.append([int(peak) for peak in done.stdout.split()[-2:]])
    print(f"10 MB: {peaks[0]} kB, {seconds[0]:.0f} s; 200 MB: {peaks[1]} kB, {seconds[1]:.0f} s")
    for small, large in zip(*peaks, strict=True):
        assert large <= 1.2 * small
    assert seconds[1] / seconds[0] <= 20 * 1.2


def write_copies(data: Path, folder: Path, copies: int) -> None:
    """The documents of prepared data repeated, each time with other names in them, so that none is a copy."""
    from sagechain.pretraining.data.corpus import read_documents

    for number, document in enumerate(read_documents(data / "corpus" / "train")):
        for copy in range(copies):
            (folder / f"{number}_{copy}.py").write_text(renamed(document["text"], copy))


def renamed(text: str, copy: int) -> str:
    """A text with a third of its names changed, others in each copy."""
    drawn = random.Random(copy)
    words = [
        f"{word}_{copy}" if word.isidentifier() and not iskeyword(word) and drawn.random() < 0.3 else word
        for word in text.split(" ")
    ]
    return " ".join(words)
