"""The same ten prompts over both engines and both wires, greedy, with the same weights: what is equal, and what is not.

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
WAYS = {
    "llama.cpp": "local:smollm2",
    "`tgi`": f"sagemaker:{FALCON}?family=chatml&wire=tgi",
    "`llama2-dialog`": LLAMA_URI,
    "transformers": "local:smollm2?engine=transformers",
}
INTRODUCTION = """# Do both engines and both wires say the same?

Ten questions with a system text, greedy, 32 tokens, SmolLM2-135M-Instruct: in llama.cpp, over the `tgi` wire (the text laid
out here by the `chatml` family) and over the `llama2-dialog` wire (roles, laid out at the server by the model's own
template), both with the same llama.cpp behind them, and in transformers. `=` is the same answer as llama.cpp's, letter by
letter; otherwise the number of letters up to which it is the same. Seen on 2 cores on {date}, by `make prove`.

All four read the same prompt: tests hold our rendering of ChatML against the model's own template, and token ids against
its tokenizer. A wire adds nothing, so it says what the engine says; where a prompt is read from a cache or beside others
llama.cpp adds up in another order, and two nearly equal tokens may change places. transformers computes with the
dequantised weights in full precision, llama.cpp with activations rounded to 8 bits: each is right, and they part at the
first token where two are nearly equal.
"""


@pytest.mark.prove
@pytest.mark.timeout(1800)
def test_the_same_prompts_give_the_same_answers_where_they_should(
    runtime: LocalRuntime, request: pytest.FixtureRequest
) -> None:
    from datetime import date

    rows, same = [], dict.fromkeys(WAYS, 0)
    chats = {
        way: load_chat_model(uri, temperature=0.0, max_new_tokens=32, accept_eula=True) for way, uri in WAYS.items()
    }
    for question in QUESTIONS:
        asked = [SystemMessage(SYSTEM), HumanMessage(question)]
        answers = {way: chat.invoke(asked).text for way, chat in chats.items()}
        first = answers["llama.cpp"]
        for way, answer in answers.items():
            same[way] += answer == first
        rows.append([question, *(_compared(first, answer) for answer in answers.values())])
    rows.append(["**the same**", *(f"**{count} of {len(QUESTIONS)}**" for count in same.values())])
    lines = [["question", *WAYS], ["---"] * (len(WAYS) + 1), *rows]
    page = INTRODUCTION.format(date=date.today()) + "\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
    print(page)
    if request.config.getoption("--write-docs"):
        (Path(__file__).parents[2] / "docs" / "agreement.md").write_text(page, encoding="utf-8")
    # The wires add nothing of their own: most answers are the engine's to the letter.
    assert same["`tgi`"] >= 8
    assert same["`llama2-dialog`"] >= 8


def _compared(first: str, answer: str) -> str:
    if answer == first:
        return "="
    return str(
        next((i for i, (a, b) in enumerate(zip(first, answer, strict=False)) if a != b), len(min(first, answer)))
    )
