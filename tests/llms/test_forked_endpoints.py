"""Models over endpoints after a fork (gunicorn's `preload`, multiprocessing): each process has its own connections."""

import itertools
import os
from collections.abc import Iterator

import pytest
from sagechain.llms.testing import ScriptedLLM
from sagechain.local_aws import LocalRuntime

from tests.processes import run
from tests.raw_server import raw_server

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


class EchoLLM(ScriptedLLM):
    """Writes its prompt."""

    def next_answer(self, prompt: str) -> str:
        return prompt


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRuntime]:
    with LocalRuntime({"echo": {"model": EchoLLM(), "family": "falcon"}}) as runtime:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", runtime.url)
        yield runtime


START = """
import asyncio, os, sys, threading
import boto3
from sagechain.llms import load_llm

def load(**settings):
    return load_llm("sagemaker:echo?family=falcon", **{"max_retries": 0, "timeout": 10, **settings})

def fork(work):
    "A child that ends by sys.exit: 0 if `work` is true, 2 if not, 1 for an error."
    child = os.fork()
    if child == 0:
        sys.exit(0 if work() else 2)
    return child

def codes(children):
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
"""


def output_of(script: str) -> str:
    done = run("-c", START + script, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("client", ["", "client=boto3.client('sagemaker-runtime')"])
def test_children_of_a_busy_process_get_their_own_answers(echo: LocalRuntime, client: str) -> None:
    assert (
        output_of(f"""
model = load({client})
stream = model.stream("the parent's stream")
shown = next(stream)
ended = threading.Event()
def work():
    while not ended.is_set():
        assert model.invoke("a thread") == "a thread"
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()

def ask(number):
    return model.invoke(f"child {{number}}") == f"child {{number}}" == "".join(model.stream(f"child {{number}}"))

children = [fork(lambda: ask(number)) for number in range(30)]
print(set(codes(children)))
ended.set()
for thread in threads:
    thread.join()
print(shown + "".join(stream))
""")
        == "{0}\nthe parent's stream\n"
    )


def test_a_child_may_fork_again_and_use_a_new_event_loop(echo: LocalRuntime) -> None:
    assert (
        output_of("""
model = load().with_fields(max_concurrency=1)

async def several(name):
    return await model.abatch([f"{name} {i}" for i in range(4)]) == [f"{name} {i}" for i in range(4)]

async def main():
    waiting = asyncio.create_task(model.ainvoke("parent"))
    await asyncio.sleep(0)
    child = fork(lambda: asyncio.run(several("child")) and codes([fork(lambda: asyncio.run(several("grandchild")))]) == [0])
    assert await waiting == "parent"
    return codes([child])

print(asyncio.run(main()))
""")
        == "[0]\n"
    )


def test_a_stream_that_was_open_fails_in_the_child_and_continues_in_the_parent(echo: LocalRuntime) -> None:
    assert (
        output_of("""
from sagechain.llms.errors import StreamInterrupted
stream = load().stream("one two three")
shown = next(stream)

def read():
    try:
        list(stream)
    except StreamInterrupted as error:
        return "forked" in str(error)

print(codes([fork(read), fork(lambda: True)]))
print(shown + "".join(stream))
""")
        == "[0, 0]\none two three\n"
    )


def test_a_time_limit_that_only_the_watching_thread_can_hold_holds_in_a_child_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with raw_server(lambda: itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.cycle([b"X", 0.02]))) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", server.url)
        assert (
            output_of("""
from sagechain.llms.errors import TimedOut
model = load(timeout=0.4)

def ask():
    try:
        model.invoke("hi")
    except TimedOut:
        return True

print(ask(), codes([fork(ask), fork(ask)]))
""")
            == "True [0, 0]\n"
        )


def test_children_get_their_own_answers_of_every_service(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("parent", "first", "second")
    with LocalRuntime({name: {"model": EchoLLM(), "family": "falcon"} for name in names}) as runtime:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", runtime.url)
        assert (
            output_of("""
from sagechain.endpoints.aws import Account

account = Account()
def reads(name):
    return all(account.send(name, "describe_endpoint", EndpointName=name)["EndpointName"] == name for _ in range(20))
assert reads("parent")
children = [fork(lambda: reads(name)) for name in ("first", "second")]
print(reads("parent"), codes(children))
""")
            == "True [0, 0]\n"
        )
