"""Models on this machine after a fork: children that generate and end normally, while the parent continues."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import processes

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

CHILDREN = """
import multiprocessing, os, signal, sys, threading
from sagechain.llms import errors, load_llm

def in_child(work):
    '''The exit code of a child that ends by sys.exit; one that hangs is killed.'''
    if (child := os.fork()) == 0:
        signal.alarm(60)
        work()
        sys.exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def answers():
    assert llm.invoke(PROMPT) == expected, "another answer"

def multiprocess():
    process = multiprocessing.get_context("fork").Process(target=answers)
    process.start()
    process.join(60)
    return process.exitcode
"""


def run_children(program: str, **names: str) -> str:
    """Run a program with the functions above in a new interpreter: the end of one is what is tested."""
    values = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    command = [sys.executable, "-c", values + CHILDREN + program]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=240).stdout


def test_children_of_a_llama_cpp_process_load_the_model_and_end(smollm2: Path) -> None:
    program = """
llm = load_llm(URI, max_new_tokens=7)
expected = llm.invoke(PROMPT)
print(in_child(answers), in_child(lambda: in_child(answers)), in_child(lambda: None), multiprocess())
answers()
stream = llm.chunks("Once upon a time", max_new_tokens=60)
first = next(stream).text

def of_the_parents_stream():
    try:
        list(stream)
    except errors.StreamInterrupted as error:
        assert error.partial_text == first and "forked" in str(error), error
        answers()
        os._exit(8)

print(in_child(of_the_parents_stream), len(list(stream)) > 20)
"""
    uri = f"local:{smollm2}?slots=1&context=128"
    assert run_children(program, URI=uri, PROMPT="User: What is the capital of France?\nAssistant:") == (
        "7 7 7 0\n8 True\n"
    )


def test_children_of_a_transformers_process_generate_and_end(gpt2: Path) -> None:
    program = """
import torch
torch.set_num_threads(2)
llm = load_llm(URI, max_new_tokens=7, temperature=0)
expected = llm.invoke(PROMPT)
torch.ones(1 << 22).mul(2).sum()  # in parallel, in the parent

def in_parallel():
    assert torch.ones(1 << 22).mul(2).sum() == 1 << 23
    answers()

print(in_child(in_parallel), in_child(lambda: None), multiprocess(), torch.get_num_threads())
held, done = threading.Event(), threading.Event()

def hold():
    with llm._engine.lock:
        held.set()
        done.wait()

threading.Thread(target=hold).start()
held.wait()
print(in_child(answers))  # a lock that a thread of the parent holds
done.set()
answers()
"""
    assert run_children(program, URI=f"local:{gpt2}", PROMPT="the quick brown") == "7 7 0 2\n7\n"


def test_a_child_whose_file_was_replaced_does_not_answer_from_another_model(smollm2: Path, tmp_path: Path) -> None:
    program = """
import os, shutil
llm = load_llm(f"local:{PATH}?slots=1&context=64", max_new_tokens=1)
shutil.copyfile(PATH, f"{PATH}.new")
os.replace(f"{PATH}.new", PATH)

def answers():
    try:
        llm.invoke("Hi")
    except errors.ModelNotLoaded as error:
        print(error)

if (child := os.fork()) == 0:
    answers()
    sys.exit()
os.waitpid(child, 0)
llm.invoke("Hi")
"""
    (copy := tmp_path / "model.gguf").write_bytes(smollm2.read_bytes())
    script = f"PATH = {str(copy)!r}\nimport sys\nfrom sagechain.llms import errors, load_llm\n{program}"
    done = processes.run("-c", script, check=True, timeout=240)
    assert "model.gguf' has changed since the model was created" in done.stdout
