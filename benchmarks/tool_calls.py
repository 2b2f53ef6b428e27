"""Are tool calls of a small model valid with constrained decoding, and are they correct?

Method: 30 requests to a shop with 5 tools (`tool_requests.yaml`), each with its one correct call. Four ways, greedy:
the same prompt decoded freely or constrained to one call, without and with an example for each tool. An answer is valid if
the reader of a chat model finds exactly one call in it that fits its tool's schema; small errors of form are repaired
first, as in a chat. It is correct if it is the requested call, argument by argument.

Target: 30 of 30 valid with constrained decoding and examples.

    python benchmarks/tool_calls.py
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Iterator, Mapping
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, Literal

import yaml
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolCall
from langchain_core.outputs import GenerationChunk
from sagechain.llms import TextModel, load_llm
from sagechain.prompts import ToolCallFormat, get_family
from sagechain.prompts.tool_calls import ToolCallReader

MODEL = "local:smollm2"
MAX_TOKENS = 100  # the longest correct call has 33
SMOKE_TOKENS = 40
FIGURES = ("valid", "tool", "correct")


def search_catalogue(query: str) -> None:
    """Find products that the shop sells, by words."""


def product_details(product_id: str) -> None:
    """Tell all that is known of one product."""


def check_stock(product_id: str, size: Literal["S", "M", "L"]) -> None:
    """Tell whether a product is in stock in a size."""


def place_order(product_id: str, quantity: int) -> None:
    """Order a quantity of a product."""


def order_status(order_id: int) -> None:
    """Tell where an order is."""


USE = ToolCallFormat.from_tools(
    [search_catalogue, product_details, check_stock, place_order, order_status], "any", parallel=False
)


def context(settings: Mapping[str, Any], *, few_shot: bool) -> Iterator[BaseMessage]:
    """The messages before a request."""
    yield SystemMessage(settings["system"])
    for text, name, arguments in settings["examples"] if few_shot else ():
        yield HumanMessage(text)
        yield AIMessage("", tool_calls=[ToolCall(name=name, args=arguments, id="example")])


def valid_call(answer: GenerationChunk) -> tuple[str, dict[str, Any]] | None:
    """The call, if the answer is exactly one."""
    reader = ToolCallReader(USE)
    cut = (answer.generation_info or {})["finish_reason"] == "length"
    parts = [*reader.feed(answer.text), *reader.flush(truncated=cut)]
    calls = [part for part in parts if not isinstance(part, str)]
    if len(calls) != 1 or calls[0]["type"] != "tool_call":
        return None
    return calls[0]["name"], calls[0]["args"]


def evaluate(
    llm: TextModel, messages: list[BaseMessage], request: list[Any], *, constrained: bool, max_tokens: int
) -> dict[str, Any]:
    """Whether the call for one request is valid and correct, and the seconds that it took."""
    text, name, arguments = request
    prompt = get_family("chatml").render([*messages, HumanMessage(text)], output_format=USE)
    began = time.perf_counter()
    [answer] = llm.complete(
        prompt.text, prompt.stop, output_format=USE if constrained else None, max_new_tokens=max_tokens
    )
    taken = time.perf_counter() - began
    call = valid_call(answer)
    tool = call is not None and call[0] == name
    tokens = (answer.generation_info or {})["output_tokens"]
    return {"valid": call is not None, "tool": tool, "correct": call == (name, arguments), "s": taken, "tokens": tokens}


def main() -> None:
    """Print a line for each way, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="one request, and a few tokens")
    options = parser.parse_args()
    settings = yaml.safe_load((Path(__file__).parent / "tool_requests.yaml").read_text(encoding="utf-8"))
    requests, max_tokens = (
        (settings["requests"][:1], SMOKE_TOKENS) if options.smoke else (settings["requests"], MAX_TOKENS)
    )
    llm = load_llm(f"{MODEL}?slots=1")
    ways: dict[str, dict[str, float]] = {}
    for constrained, few_shot in product((False, True), repeat=2):
        messages = list(context(settings, few_shot=few_shot))
        evaluate_request = partial(evaluate, llm, messages, constrained=constrained, max_tokens=max_tokens)
        evaluate_request(settings["requests"][-1])  # the prompt's beginning is then cached
        results = [evaluate_request(request) for request in requests]
        way = f"{'constrained' if constrained else 'free'}, {'few-shot' if few_shot else 'zero-shot'}"
        ways[way] = {figure: sum(result[figure] for result in results) for figure in FIGURES}
        ways[way]["seconds"] = statistics.median(result["s"] for result in results)
        ways[way]["tokens"] = statistics.median(result["tokens"] for result in results)
        ways[way]["tokens_a_second"] = sum(r["tokens"] for r in results) / sum(r["s"] for r in results)
    of = f"of {len(requests)}"
    print(f"{of:22} valid  tool  correct  s a call  tokens  tokens a second")
    for way, f in ways.items():
        counts = f"{f['valid']:5} {f['tool']:5} {f['correct']:8}"
        print(f"{way:22} {counts} {f['seconds']:9.2f} {f['tokens']:7.0f} {f['tokens_a_second']:16.1f}")
    versions = {name: version(name) for name in ("xllamacpp", "sagechain")}
    machine = {"python": platform.python_version(), "cores": os.cpu_count()}
    print(json.dumps({**machine, **versions, "model": MODEL, "requests": len(requests), "ways": ways}))


if __name__ == "__main__":
    main()
