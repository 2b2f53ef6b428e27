"""Do tool calls of a small model become valid by holding its decoding to their schema, and do they become right?

Method: 30 requests to a shop with 5 tools (`tool_requests.yaml`), each with the one call that is right. Four ways, greedy:
the same prompt decoded freely or held to one call, without and with an example for each tool. An answer is valid where the
reader of a chat model finds exactly one call in it, and that fits its tool's schema; what was written carelessly is mended
first, as in a chat. It is right where it is the call that the request asks for, argument by argument.

Target: 30 of 30 valid where decoding is held and examples are shown.

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
MOST_TOKENS = 100  # the longest right call has 33
SMOKE_TOKENS = 40
FIGURES = ("valid", "tool", "right")


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


def shown(told: Mapping[str, Any], *, few_shot: bool) -> Iterator[BaseMessage]:
    """What stands before a request."""
    yield SystemMessage(told["system"])
    for said, name, arguments in told["examples"] if few_shot else ():
        yield HumanMessage(said)
        yield AIMessage("", tool_calls=[ToolCall(name=name, args=arguments, id="example")])


def valid_call(answer: GenerationChunk) -> tuple[str, dict[str, Any]] | None:
    """The one call that an answer is, if it is one."""
    reader = ToolCallReader(USE)
    cut = (answer.generation_info or {})["finish_reason"] == "length"
    parts = [*reader.feed(answer.text), *reader.flush(truncated=cut)]
    calls = [part for part in parts if not isinstance(part, str)]
    if len(calls) != 1 or calls[0]["type"] != "tool_call":
        return None
    return calls[0]["name"], calls[0]["args"]


def judged(
    llm: TextModel, messages: list[BaseMessage], request: list[Any], *, held: bool, most_tokens: int
) -> dict[str, Any]:
    """One request asked: what its call is worth, and the seconds that it took."""
    said, name, arguments = request
    prompt = get_family("chatml").render([*messages, HumanMessage(said)], output_format=USE)
    began = time.perf_counter()
    [answer] = llm.complete(prompt.text, prompt.stop, output_format=USE if held else None, max_new_tokens=most_tokens)
    taken = time.perf_counter() - began
    call = valid_call(answer)
    tool = call is not None and call[0] == name
    tokens = (answer.generation_info or {})["output_tokens"]
    return {"valid": call is not None, "tool": tool, "right": call == (name, arguments), "s": taken, "tokens": tokens}


def main() -> None:
    """Print a line for each way, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="one request, and a few tokens")
    options = parser.parse_args()
    told = yaml.safe_load((Path(__file__).parent / "tool_requests.yaml").read_text(encoding="utf-8"))
    requests, most_tokens = (told["requests"][:1], SMOKE_TOKENS) if options.smoke else (told["requests"], MOST_TOKENS)
    llm = load_llm(f"{MODEL}?slots=1")
    ways: dict[str, dict[str, float]] = {}
    for held, few_shot in product((False, True), repeat=2):
        messages = list(shown(told, few_shot=few_shot))
        judge = partial(judged, llm, messages, held=held, most_tokens=most_tokens)
        judge(told["requests"][-1])  # the prompt's beginning is then in the cache
        results = [judge(request) for request in requests]
        way = f"{'held' if held else 'free'}, {'few-shot' if few_shot else 'zero-shot'}"
        ways[way] = {figure: sum(result[figure] for result in results) for figure in FIGURES}
        ways[way]["seconds"] = statistics.median(result["s"] for result in results)
        ways[way]["tokens"] = statistics.median(result["tokens"] for result in results)
        ways[way]["tokens_a_second"] = sum(r["tokens"] for r in results) / sum(r["s"] for r in results)
    of = f"of {len(requests)}"
    print(f"{of:18} valid  tool  right  s a call  tokens  tokens a second")
    for way, f in ways.items():
        counts = f"{f['valid']:5} {f['tool']:5} {f['right']:6}"
        print(f"{way:18} {counts} {f['seconds']:9.2f} {f['tokens']:7.0f} {f['tokens_a_second']:16.1f}")
    versions = {name: version(name) for name in ("xllamacpp", "sagechain")}
    about = {"python": platform.python_version(), "cores": os.cpu_count(), **versions}
    print(json.dumps({**about, "model": MODEL, "requests": len(requests), "ways": ways}))


if __name__ == "__main__":
    main()
