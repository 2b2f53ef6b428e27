"""Run an agent's script as its users do."""

import subprocess
import sys
from typing import Any


def run(agent: str, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", f"sagechain.agents.{agent}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **({"input": ""} | options))
