"""The same ten prompts over both engines and both wires, greedy, with the same weights: which answers are equal.

`make prove` prints the table; with `--write-docs` it becomes docs/agreement.md.
"""

from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from sagechain.llms import load_chat_model
from sagechain.local_aws import LocalRuntime

from tests.conftest import FALCON, LLAMA_URI

SYSTEM = "You are a helpful assistant. Answer briefly."
QUESTIONS = (
    "What is the capital of France?",
    "What is the capital of Japan?",
    "How many days has a week?",
    "Name three colours.",
    "What is 2 + 3?",
    "Write one sentence about the sea.",
    "What does a bee make?",
    "Translate 'good morning' into French.",
    "Is ice cold or hot?",
    "What is the opposite of big?",
)
MODELS = {
    "llama.cpp": "local:smollm2",
    "`tgi`": f"sagemaker:{FALCON}?family=chatml&wire=tgi",
    "`llama2-dialog`": LLAMA_URI,
    "transformers": "local:smollm2?engine=transformers",
}
INTRODUCTION = """# Do both engines and both wires give the same answers?

Ten questions with a system text, greedy, 32 tokens, SmolLM2-135M-Instruct: in llama.cpp, over the `tgi` wire (text in the
layout of the `chatml` family), over the `llama2-dialog` wire (roles, laid out at the server by the model's own template),
both with the same llama.cpp as the server's engine, and in transformers. `=` is the same answer as llama.cpp's, letter by
letter; a number is that of the first letters that are the same. Measured on 2 cores on {date}, by `make prove`.

All four read the same prompt: tests compare our rendering of ChatML with the model's own template, and token ids with its
tokenizer. A wire adds nothing, so its answers are those of the engine; when a prompt is read from a cache or in a batch,
llama.cpp adds numbers up in another order, and two nearly equal tokens may change places. transformers computes with the
dequantised weights in full precision, llama.cpp with activations rounded to 8 bits: each is right, and they differ from the
first token on at which two are nearly equal.
"""


@pytest.mark.prove
@pytest.mark.timeout(1800)
def test_answers_over_a_wire_are_those_of_the_engine(runtime: LocalRuntime, request: pytest.FixtureRequest) -> None:
    from datetime import date

    rows, equal = [], dict.fromkeys(MODELS, 0)
    chats = {
        name: load_chat_model(uri, temperature=0.0, max_new_tokens=32, accept_eula=True) for name, uri in MODELS.items()
    }
    for question in QUESTIONS:
        messages = [SystemMessage(SYSTEM), HumanMessage(question)]
        answers = {name: chat.invoke(messages).text for name, chat in chats.items()}
        first = answers["llama.cpp"]
        for name, answer in answers.items():
            equal[name] += answer == first
        rows.append([question, *(_compared(first, answer) for answer in answers.values())])
    rows.append(["**equal answers**", *(f"**{count} of {len(QUESTIONS)}**" for count in equal.values())])
    lines = [["question", *MODELS], ["---"] * (len(MODELS) + 1), *rows]
    page = INTRODUCTION.format(date=date.today()) + "\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
    print(page)
    if request.config.getoption("--write-docs"):
        (Path(__file__).parents[2] / "docs" / "agreement.md").write_text(page, encoding="utf-8")
    # Two nearly equal tokens may change places, so not every answer is the engine's to the letter.
    assert equal["`tgi`"] >= 8
    assert equal["`llama2-dialog`"] >= 8


def _compared(first: str, answer: str) -> str:
    if answer == first:
        return "="
    return str(
        next((i for i, (a, b) in enumerate(zip(first, answer, strict=False)) if a != b), len(min(first, answer)))
    )
