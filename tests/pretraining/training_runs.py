"""Training runs in separate processes, and what they write."""

import contextlib
import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil

from tests import processes
from tests.pretraining.conftest import TINY

TOKENS = 5_120


def manifest(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    return content


def history(run: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((run / "history.json").read_text())
    return entries


def kill_all(process: "subprocess.Popen[str]") -> None:
    """Kill a launcher and all processes that it started."""
    for each in (*psutil.Process(process.pid).children(recursive=True), process):
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()


def wait_for_checkpoint(run: Path, after: int, process: processes.Process | subprocess.Popen[str]) -> None:
    """Wait until there is a checkpoint after that step, or the process has ended."""
    while process.poll() is None:
        if any(int(folder.name[5:]) > after for folder in (run / "checkpoints").glob("step-*")):
            return
        time.sleep(0.01)


def last_step(run: Path) -> int:
    return max((int(folder.name[5:]) for folder in (run / "checkpoints").glob("step-*")), default=0)


def losses(run: Path) -> list[float]:
    return [entry["loss"] for entry in history(run) if "loss" in entry]


SCRIPT = """
import sys, json
from sagechain.pretraining.training import schedule
schedule.CHECKPOINT_SECONDS = 0.0
from sagechain.pretraining import train
train(sys.argv[1], sys.argv[2], tokens=int(sys.argv[3]), **json.loads(sys.argv[4]))
"""


def start_training(data: Path, run: Path, tokens: int, **settings: Any) -> processes.Process:
    """Start training in a process of its own."""
    arguments = (str(data), str(run), str(tokens), json.dumps(TINY | settings))
    return processes.start("-c", SCRIPT, *arguments, server="torch")


def start_launcher(data: Path, run: Path, tokens: int, *launcher: str, **settings: Any) -> "subprocess.Popen[str]":
    """Start training by a launcher's command."""
    # A shell that starts tests in the background leaves Ctrl-C ignored to its children.
    return subprocess.Popen(
        [*launcher, str(data), str(run), str(tokens), json.dumps(TINY | settings)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
