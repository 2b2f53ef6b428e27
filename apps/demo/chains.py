"""The demo: Llama 2 and Falcon wires on this machine, a real model behind both, no account and no key; then a CodeParrot.

Everything goes through the same code as against AWS: boto3 signs and sends HTTP to the local runtime, which answers in
SageMaker's own framing. Only the address and the size of the model differ.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from rich.console import Console
from sagechain.agents import falcon_chain_of_thought, falcon_chatbot, llama2_assistant, llama2_chatbot
from sagechain.chains import reset, same_answer
from sagechain.llms import load_chat_model, load_llm
from sagechain.llms.local import pull
from sagechain.local_aws import LocalRuntime
from sagechain.prompts import load_prompt, read_yaml

LLAMA = "sagemaker:llama-2-7b-chat?family=llama2&wire=llama2-dialog"
FALCON = "sagemaker:falcon-7b-instruct?family=falcon"
REMEMBERED = "green"  # what the chatbot is told first
USES = ("question-answering", "code-generation", "summary")
ASSISTANT_TURNS = ("I am looking for a tent for two people.", "Do you sell laptops?")

console = Console(highlight=False, soft_wrap=True)


def run(*, seconds: float) -> None:
    """Show all of it on standard output; the training takes so many seconds."""
    began = time.monotonic()
    pull("smollm2")
    with LocalRuntime() as runtime, _environment(runtime.url):
        _heading("1. A chatbot over the Llama 2 wire (llama2-dialog): memory, style, reset")
        _talk()
        _heading("2. A shop's assistant over the Llama 2 wire: answers from a catalogue")
        _advise()
        _heading("3. One model, many uses, streamed over the Falcon wire (tgi)")
        _uses()
        _heading("4. Twenty word problems over the Falcon wire: direct against chain of thought")
        _solve()
        requests = len(runtime.requests)
    _heading("5. A CodeParrot from nothing: corpus, tokenizer, a minute of training, completions")
    _pretrain(seconds)
    _heading("What was real, and what was local")
    console.print(
        f"Real:  the model (SmolLM2-135M-Instruct in llama.cpp), boto3, SigV4-signed HTTP, SageMaker's paths,\n"
        f"       event-stream framing ({requests} requests), the chains, every answer above.\n"
        f"Local: the server at {runtime.url} stood in for AWS, and a model of 135 million weights for 7 billion.\n"
        f"       Against AWS: unset AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME and name your own endpoints.\n"
        f"Took {time.monotonic() - began:.0f} s."
    )


def _talk() -> None:
    graph = llama2_chatbot.chain(load_chat_model(LLAMA, accept_eula=True))
    answers = []
    for turn in read_yaml("sagechain.agents", "llama2_chatbot.yaml")["turns"]:
        if turn == "/reset":
            reset(graph, "demo")
            console.print("— reset —")
        else:
            answers.append(_turn(graph, turn))
    for moment, answer in (("before the reset", answers[-2]), ("after it", answers[-1])):
        console.print(f"({moment}: {REMEMBERED} is {'in' if REMEMBERED in answer.lower() else 'not in'} the answer)")


def _advise() -> None:
    graph = llama2_assistant.chain(load_chat_model(LLAMA, accept_eula=True, max_new_tokens=120, temperature=0))
    for turn in ASSISTANT_TURNS:
        _turn(graph, turn)


def _turn(graph: Any, turn: str) -> str:
    thread: RunnableConfig = {"configurable": {"thread_id": "demo"}}
    answer: str = graph.invoke({"messages": [HumanMessage(turn)]}, thread)["messages"][-1].text
    console.print(f"[bold]You:[/bold] {turn}")
    console.print("[bold]Model:[/bold]", end=" ")
    console.print(answer, markup=False)
    return answer


def _uses() -> None:
    chat = load_chat_model(FALCON)
    for use in USES:
        values = {name: each["example"] for name, each in load_prompt(use).metadata["variables"].items()}
        console.print(f"[bold]{use}:[/bold]", "; ".join(values.values()), markup=True)
        console.print("[bold]Model:[/bold]", end=" ")
        pieces = 0
        for piece in falcon_chatbot.chain(chat, use).stream(values):
            pieces += bool(piece.text)
            console.print(piece.text, end="", markup=False)
        console.print(f" ({pieces} pieces)")


def _solve() -> None:
    problems = read_yaml(__package__, "word_problems.yaml")
    both = falcon_chain_of_thought.chain(load_llm(FALCON), "arithmetic")
    found = both.batch([{"question": problem["question"]} for problem in problems])
    for way in found[0]:
        answers = [each[way] for each in found]
        right = [same_answer(a.answer, p["answer"], "number") for a, p in zip(answers, problems, strict=True)]
        first = right.index(True) if any(right) else 0
        console.print(f"[bold]{way}[/bold]: {sum(right)} of {len(right)} right")
        console.print(f"  Q: {problems[first]['question']}", markup=False)
        console.print(f"  A: {answers[first].text}  (truth: {problems[first]['answer']})", markup=False)


def _pretrain(seconds: float) -> None:
    missing = [name for name in ("torch", "datatrove", "datasets") if find_spec(name) is None]
    if missing:
        console.print(
            f'Left out: {", ".join(missing)} not installed. pip install "sagechain[pretraining]"', markup=False
        )
        return
    from .codeparrot import pretrain

    pretrain(console, seconds=seconds)


def _heading(text: str) -> None:
    console.print()
    console.rule(f"[bold]{text}", align="left")


@contextmanager
def _environment(url: str) -> Iterator[None]:
    """boto3's own settings point at the runtime meanwhile, so that no request can leave this machine."""
    local = {
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in (*local, "AWS_SESSION_TOKEN", "AWS_PROFILE")}
    os.environ.update(local)
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE"):
        os.environ.pop(name, None)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
