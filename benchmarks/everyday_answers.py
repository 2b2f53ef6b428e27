"""How many everyday requests does the embedded model answer usefully, without its defaults and with them?

Method: sixty requests of six kinds (`everyday_prompts.yaml`, written before any answer was seen), each once, in one slot.
Before: the text model in a chat model without defaults, as it was; it had no limit, and is stopped at 512 tokens here.
After: `load_chat_model`, with the defaults of the model's catalogue entry. Two figures each:

- checked: an automatic check of the answer, where one can be written honestly, and no loop (a passage thrice in a row);
- useful: a reader's judgement (`everyday_judgements.yaml`), by this criterion: someone who asked this could use the answer
  as it is: it does what was asked, what it says first is right, and nothing in it misleads. Judged are these very answers;
  one that differs is counted as not judged, and `--record` stores it to be judged.

    python benchmarks/everyday_answers.py [--record]
"""

import argparse
import ast
import json
import os
import platform
import re
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from sagechain.llms import PromptedChatModel, load_chat_model, load_llm

MODEL = "local:smollm2?slots=1"
PROMPTS = Path(__file__).parent / "everyday_prompts.yaml"
JUDGEMENTS = Path(__file__).parent / "everyday_judgements.yaml"
LOOP = re.compile(r"(\S.{11,199}?)\1\1", re.DOTALL)
CODE = re.compile(r"```(?:python|py)?\n(.*?)(?:```|\Z)", re.DOTALL)
BEFORE_LIMIT = 512  # tokens; a longer answer of these is a loop
SMOKE_TOKENS = 8


def weather(city: str) -> None:
    """The weather of a city today."""


def check_stock(product: str) -> None:
    """How many of a product are in stock."""


def set_timer(minutes: int) -> None:
    """Set a timer that rings after some minutes."""


def translate(text: str, language: str) -> None:
    """Translate a text into a language."""


TOOLS: list[Any] = [weather, check_stock, set_timer, translate]


def answer(chat: BaseChatModel, kind: str, turns: list[str]) -> tuple[AIMessage, float]:
    """The last answer of a conversation, and the seconds of all answers."""
    model = chat.bind_tools(TOOLS) if kind == "tools" else chat
    messages: list[BaseMessage] = []
    began = time.perf_counter()
    for turn in turns:
        messages += [HumanMessage(turn), model.invoke([*messages, HumanMessage(turn)])]
    last = messages[-1]
    assert isinstance(last, AIMessage)
    return last, time.perf_counter() - began


def shown(message: AIMessage) -> str:
    """The answer as a reader sees it, tool calls included."""
    calls = [f"{call['name']}({json.dumps(call['args'], ensure_ascii=False)})" for call in message.tool_calls]
    return "\n".join([*([message.text] if message.text else []), *calls])


def passes(message: AIMessage, check: Mapping[str, Any]) -> bool:
    """Whether an answer does what its check demands."""
    if "tool" in check:
        wanted, calls = check["tool"], message.tool_calls
        return len(calls) == 1 and calls[0]["name"] == wanted["name"] and _same(calls[0]["args"], wanted["args"])
    if "defines" in check:
        return any(_defines(code, check["defines"]) for code in CODE.findall(message.text) or [message.text])
    fold = str if check.get("case") else str.lower
    text = fold(message.text)
    groups = [each if isinstance(each, list) else [each] for each in check.get("contains", ())]
    return all(any(fold(word) in text for word in words) for words in groups) and not any(
        fold(word) in text for word in check.get("excludes", ())
    )


def _same(arguments: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return {name: str(value).lower() for name, value in arguments.items()} == {
        name: str(value).lower() for name, value in wanted.items()
    }


def _defines(code: str, name: str) -> bool:
    try:
        return any(isinstance(node, ast.FunctionDef) and node.name == name for node in ast.parse(code).body)
    except (SyntaxError, ValueError):
        return False


def result(chat: BaseChatModel, kind: str, request: Mapping[str, Any], judged: Mapping[str, Any]) -> dict[str, Any]:
    """One answer with its figures; what was not judged, or has no check, is None."""
    message, seconds = answer(chat, kind, request["turns"])
    text, loops = shown(message), bool(LOOP.search(message.text))
    useful = judged.get("useful") if judged.get("answer") == text else None
    checked = passes(message, request["check"]) and not loops if "check" in request else None
    truncated = message.response_metadata.get("finish_reason") == "length"
    return {
        "answer": text, "useful": useful, "checked": checked, "loop": loops, "truncated": truncated, "s": seconds,
    }  # fmt: skip


def table(results: Mapping[str, list[dict[str, dict[str, Any]]]]) -> str:
    """A row for each kind: useful, passed of those with a check, loops and seconds, before and after."""
    rows = [
        "| kind | useful before | after | checks passed before | after | loops before | after | seconds before | after |"
    ]
    rows.append("|---|" + "---|" * 8)
    every = [each for answers in results.values() for each in answers]
    for kind, answers in [*results.items(), ("all", every)]:
        cells = []
        for figure in ("useful", "checked", "loop", "s"):
            for way in ("before", "after"):
                values = [each[way][figure] for each in answers if each[way][figure] is not None]
                of = "" if figure in ("loop", "s") else f" of {len(values)}"
                cells.append(f"{sum(values):.0f}{of}")
        rows.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    """Print every request with both answers, the table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one request of each kind, and a few tokens")
    parser.add_argument("--record", action="store_true", help="store the answers, to be judged")
    options = parser.parse_args()
    limit = SMOKE_TOKENS if options.smoke else None
    ways = {
        "before": PromptedChatModel(llm=load_llm(MODEL), max_tokens=limit or BEFORE_LIMIT),
        "after": load_chat_model(MODEL, max_tokens=limit),
    }
    judgements = yaml.safe_load(JUDGEMENTS.read_text(encoding="utf-8")) if JUDGEMENTS.exists() else {}
    results: dict[str, list[dict[str, dict[str, Any]]]] = {}
    for kind, requests in yaml.safe_load(PROMPTS.read_text(encoding="utf-8")).items():
        for number, request in enumerate(requests[:1] if options.smoke else requests):
            judged = judgements.get(kind, [])[number : number + 1] or [{}]
            both = {way: result(chat, kind, request, judged[0].get(way, {})) for way, chat in ways.items()}
            results.setdefault(kind, []).append(both)
            print(f"\n{kind}: {' / '.join(request['turns'])}")
            for way, each in both.items():
                print(
                    f"  {way} ({each['s']:.1f} s, useful: {each['useful']}, checked: {each['checked']}): {each['answer']}"
                )
    print(f"\n{table(results)}\n")
    if options.record:
        kept = {
            kind: [{way: {name: each[way][name] for name in ("answer", "useful")} for way in each} for each in answers]
            for kind, answers in results.items()
        }
        JUDGEMENTS.write_text(yaml.safe_dump(kept, allow_unicode=True, sort_keys=False, width=120), encoding="utf-8")
    every = [each for answers in results.values() for each in answers]
    useful = {way: sum(each[way]["useful"] or 0 for each in every) for way in ways}
    versions = {name: version(name) for name in ("xllamacpp", "sagechain")}
    machine = {"python": platform.python_version(), "cores": os.cpu_count()}
    print(json.dumps({**machine, **versions, "model": MODEL, "requests": len(every), "useful": useful}))


if __name__ == "__main__":
    main()
