"""Ctrl-C while llama.cpp loads a model, for which it holds Python's lock."""

import os
import signal
from pathlib import Path

import pytest

from tests import processes

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")

# Loading holds the lock for a minute, after a byte on standard output: no thread of Python runs meanwhile.
SLOW_LOADING = """
import ctypes, os, signal, sys, xllamacpp
def server(settings):
    os.write(1, b"!")
    ctypes.PyDLL(None).sleep(60)
xllamacpp.Server = server
"""


@pytest.mark.parametrize("arguments", [["ask", "Hi"], ["chat"]])
def test_a_command_ends(smollm2: Path, arguments: list[str]) -> None:
    command = f"sys.argv = {['sagechain', *arguments, '-m', f'local:{smollm2}']!r}\n"
    script = f"{SLOW_LOADING}{command}from sagechain.apps.cli import main\nmain()"
    with processes.start("-c", script) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.stdout.read(1) == "!"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=5) == -signal.SIGINT
        assert process.stderr.read() == ""


def test_the_load_of_a_large_file_is_announced(tmp_path: Path) -> None:
    with (tmp_path / "large.gguf").open("wb") as file:
        file.write(b"GGUF")
        file.truncate(600_000_000)
    command = f"sys.argv = {['sagechain', 'ask', 'Hi', '-m', f'local:{file.name}']!r}\n"
    with processes.start("-c", f"{SLOW_LOADING}{command}from sagechain.apps.cli import main\nmain()") as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.stdout.read(1) == "!"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=5) == -signal.SIGINT
        assert process.stderr.read() == "Loading large.gguf … (Ctrl-C ends the program)\n"


def test_a_command_that_ignores_ctrl_c_still_does(smollm2: Path) -> None:
    script = f"""
{SLOW_LOADING.replace("sleep(60)", "usleep(300000)")}
signal.signal(signal.SIGINT, signal.SIG_IGN)
from sagechain.llms import errors, load_llm
from sagechain.llms.local.llama_cpp import ctrl_c_ends_loading
with ctrl_c_ends_loading():
    try:
        load_llm("local:{smollm2}")
    except errors.ModelFailed:  # there is no server
        print("loaded")
"""
    with processes.start("-c", script) as process:
        assert process.stdout.read(1) == "!"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "loaded\n"


def test_a_program_of_ones_own_hears_of_ctrl_c_after_the_load(smollm2: Path) -> None:
    script = f"""
{SLOW_LOADING.replace("sleep(60)", "usleep(300000)")}
from sagechain.llms import load_llm
try:
    load_llm("local:{smollm2}")
except KeyboardInterrupt:
    print("interrupted")
"""
    with processes.start("-c", script) as process:
        assert process.stdout.read(1) == "!"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "interrupted\n"
        assert process.stderr.read() == ""
