"""Run an agent's script as its users do."""

import subprocess
from typing import Any

from tests import processes


def run(agent: str, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    return processes.run("-m", f"sagechain.agents.{agent}", *arguments, **options)
