"""The demo: Llama 2 and Falcon wires on this machine, a real model behind both, no account and no key; then a CodeParrot.

Everything runs through the same code as against AWS: boto3 signs and sends HTTP to the local runtime, which answers in
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
from sagechain.llms import install_command, load_chat_model, load_llm
from sagechain.llms.local import pull
from sagechain.local_aws import LocalRuntime
from sagechain.prompts import load_prompt, read_yaml, visible

LLAMA = "sagemaker:llama-2-7b-chat?family=llama2&wire=llama2-dialog"
FALCON = "sagemaker:falcon-7b-instruct?family=falcon"
COLOUR = "green"  # of the chatbot's first turn, which it has to remember
USES = ("question-answering", "code-generation", "summary")
ASSISTANT_TURNS = ("I am looking for a tent for two people.", "Do you sell laptops?")

console = Console(highlight=False, soft_wrap=True)


def run(*, seconds: float) -> None:
    """Print all parts of the demo; `seconds` is the time of the training."""
    started_at = time.monotonic()
    pull("smollm2")
    with LocalRuntime() as runtime, _environment(runtime.url):
        _print_heading("1. A chatbot over the Llama 2 wire (llama2-dialog): memory, style, reset")
        _show_chatbot()
        _print_heading("2. A shop's assistant over the Llama 2 wire: answers from a catalogue")
        _show_assistant()
        _print_heading("3. One model, many uses, streamed over the Falcon wire (tgi)")
        _show_uses()
        _print_heading("4. Ten word problems over the Falcon wire: direct against chain of thought")
        _show_word_problems()
        requests = len(runtime.requests)
    _print_heading(f"5. A CodeParrot from scratch: corpus, tokenizer, {seconds:.0f} s of training, completions")
    _pretrain(seconds)
    _print_heading("What was real, and what was local")
    console.print(
        f"Real:  the model (SmolLM2-135M-Instruct in llama.cpp), boto3, SigV4-signed HTTP, SageMaker's paths,\n"
        f"       event-stream framing ({requests} requests), the chains, every answer above.\n"
        f"Local: the server at {runtime.url} in place of AWS, and a model of 135 million weights in place of 7 billion.\n"
        f"       Against AWS: unset AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME and name your own endpoints.\n"
        f"Took {time.monotonic() - started_at:.0f} s."
    )


def _show_chatbot() -> None:
    graph = llama2_chatbot.chain(load_chat_model(LLAMA, accept_eula=True))
    answers = []
    for turn in read_yaml("sagechain.agents", "llama2_chatbot.yaml")["turns"]:
        if turn == "/reset":
            reset(graph, "demo")
            console.print("— reset —")
        else:
            answers.append(_show_turn(graph, turn))
    for moment, answer in (("before the reset", answers[-2]), ("after it", answers[-1])):
        console.print(f"({moment}: {COLOUR} is {'in' if COLOUR in answer.lower() else 'not in'} the answer)")


def _show_assistant() -> None:
    graph = llama2_assistant.chain(load_chat_model(LLAMA, accept_eula=True, max_new_tokens=60, temperature=0))
    for turn in ASSISTANT_TURNS:
        _show_turn(graph, turn)


def _show_turn(graph: Any, turn: str) -> str:
    thread: RunnableConfig = {"configurable": {"thread_id": "demo"}}
    answer: str = graph.invoke({"messages": [HumanMessage(turn)]}, thread)["messages"][-1].text
    console.print(f"[bold]You:[/bold] {turn}")
    console.print("[bold]Model:[/bold]", end=" ")
    console.print(visible(answer), markup=False)
    return answer


def _show_uses() -> None:
    chat = load_chat_model(FALCON)
    for use in USES:
        values = {name: each["example"] for name, each in load_prompt(use).metadata["variables"].items()}
        console.print(f"[bold]{use}:[/bold]", "; ".join(values.values()), markup=True)
        console.print("[bold]Model:[/bold]", end=" ")
        chunks = 0
        for chunk in falcon_chatbot.chain(chat, use).stream(values):
            chunks += bool(chunk.text)
            console.print(visible(chunk.text), end="", markup=False)
        console.print(f" ({chunks} chunks)")


def _show_word_problems() -> None:
    problems = read_yaml(__package__, "word_problems.yaml")
    both = falcon_chain_of_thought.chain(load_llm(FALCON), "arithmetic")
    results = both.batch([{"question": problem["question"]} for problem in problems])
    for strategy in results[0]:
        reasonings = [result[strategy] for result in results]
        correct = [same_answer(r.answer, p["answer"], "number") for r, p in zip(reasonings, problems, strict=True)]
        first = correct.index(True) if any(correct) else 0
        console.print(f"[bold]{strategy}[/bold]: {sum(correct)} of {len(correct)} right")
        console.print(f"  Q: {problems[first]['question']}", markup=False)
        console.print(visible(f"  A: {reasonings[first].text}  (truth: {problems[first]['answer']})"), markup=False)


def _pretrain(seconds: float) -> None:
    missing = [name for name in ("torch", "datatrove", "detect_secrets") if find_spec(name) is None]
    if missing:
        command = install_command("demo")
        console.print(f"Left out: {', '.join(missing)} not installed. Run: {command}", markup=False)
        return
    from .codeparrot import pretrain

    pretrain(console, seconds=seconds)


def _print_heading(text: str) -> None:
    console.print()
    console.rule(f"[bold]{text}", align="left")


@contextmanager
def _environment(url: str) -> Iterator[None]:
    """boto3's settings point at the local runtime, so that no request can leave this machine; restored afterwards."""
    settings = {
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    saved = {name: os.environ.pop(name, None) for name in (*settings, "AWS_SESSION_TOKEN", "AWS_PROFILE")}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name in settings:
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in saved.items() if value is not None})
