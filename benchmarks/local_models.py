"""How fast are the local engines? Decoding beside bare llama.cpp, a second turn from the cache, ten samples at once.

Method: one process; the ways alternate after a warm-up, medians are shown with the least and the most. The ceiling of
decoding is the same request sent to xllamacpp directly; a second turn is compared with the same prompt and an empty cache.

Targets: decoding at least 0.95 × bare; a second turn at least 5 × faster than with an empty cache; ten samples of one
prompt within 0.25 × ten calls on HuggingFacePipeline, within 0.5 × on llama.cpp.

    python benchmarks/local_models.py
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

import xllamacpp
from sagechain.llms import LlamaCppLLM, TextModel, load_llm

STORY = "User: Tell me a story of the sea.\nAssistant:"
TOKENS, SAMPLED, SENTENCES = 64, 32, 130  # tokens decoded and sampled, sentences of a first turn
SMOKE = 4  # of each


def seconds(work: Callable[[], Any]) -> float:
    """The wall time of some work."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def alternating(ways: dict[str, Callable[[], Any]], repeat: int) -> dict[str, list[float]]:
    """The seconds of each way, `repeat` times in turn, after one run of each to warm up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repeat + 1):
        for name, work in ways.items():
            taken = seconds(work)
            if number:
                times[name].append(taken)
    return times


def bare_server(llm: LlamaCppLLM) -> xllamacpp.Server:
    """xllamacpp's own server over the same file, with the same settings."""
    settings = xllamacpp.CommonParams()
    settings.model.path = str(llm.path)
    settings.n_ctx, settings.n_parallel = llm.context * llm.slots, llm.slots
    settings.fit_params, settings.verbosity = False, -1
    if threads := os.environ.get("LLAMA_ARG_THREADS"):
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = int(threads)
    return xllamacpp.Server(settings)


def decoding(repeat: int, tokens: int) -> dict[str, list[float]]:
    """Greedy tokens: by our `invoke` and `stream`, and by xllamacpp directly."""
    llm = load_llm("local:smollm2", max_new_tokens=tokens)
    assert isinstance(llm, LlamaCppLLM)
    request = {"prompt": STORY, "max_tokens": tokens, "temperature": 0.0, "stream": False}
    server = bare_server(llm)
    return alternating(
        {
            "decode, bare llama.cpp": lambda: server.handle_completions(dict(request), lambda _: False),
            "decode, invoke": lambda: llm.invoke(STORY),
            "decode, stream": lambda: list(llm.stream(STORY)),
        },
        repeat,
    )


def second_turn(repeat: int, sentences: int) -> dict[str, list[float]]:
    """One token after 1,500 (those of 130 sentences): with the first turn in the cache, and with an empty one."""
    llm = load_llm("local:smollm2?slots=1", max_new_tokens=1)
    times: dict[str, list[float]] = {"second turn, empty cache": [], "second turn, from the cache": []}
    for number in range(repeat):
        first = f"User: Story {number}. " + "Tell me of the sea, the wind and the stars. " * sentences
        second = f"{first}\nAssistant: The sea is blue.\nUser: And the wind?\nAssistant:"
        ask_second = partial(llm.invoke, second)
        times["second turn, empty cache"].append(seconds(ask_second))
        llm.invoke(f"User: Something else, {number}.")
        llm.invoke(first)
        times["second turn, from the cache"].append(seconds(ask_second))
    return times


def samples(uri: str, what: str, repeat: int, tokens: int) -> dict[str, list[float]]:
    """Ten samples of one prompt: at once, and by ten calls."""
    llm: TextModel = load_llm(uri, max_new_tokens=tokens, temperature=1.0)

    def calls() -> None:
        for seed in range(10):
            llm.invoke(STORY, seed=seed)

    return alternating(
        {
            f"ten samples, ten calls, {what}": calls,
            f"ten samples at once, {what}": lambda: llm.complete(STORY, num_return_sequences=10, seed=0),
        },
        repeat,
    )


def main() -> None:
    """Print medians and spreads, the ratios, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument(
        "--smoke", action="store_true", help="a few tokens once each, llama.cpp alone, without a verdict on time"
    )
    options = parser.parse_args()
    repeat = 1 if options.smoke else options.repeat
    tokens, sampled, sentences = (SMOKE, SMOKE, SMOKE) if options.smoke else (TOKENS, SAMPLED, SENTENCES)
    times = decoding(repeat, tokens) | second_turn(repeat, sentences)
    times |= samples("local:smollm2?slots=10", "llama.cpp", repeat, sampled)
    if not options.smoke:
        times |= samples("local:smollm2?engine=transformers", "HuggingFacePipeline", max(1, repeat // 2), sampled)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    for name, taken in times.items():
        print(f"{name:45} {medians[name]:8.3f}  ({min(taken):.3f} to {max(taken):.3f})")
    ratios = {
        "decoding, of bare": medians["decode, bare llama.cpp"] / medians["decode, invoke"],
        "second turn, times faster": medians["second turn, empty cache"] / medians["second turn, from the cache"],
        **{
            f"ten samples, of ten calls, {what}": medians[f"ten samples at once, {what}"]
            / medians[f"ten samples, ten calls, {what}"]
            for what in ("llama.cpp", "HuggingFacePipeline")
            if f"ten samples at once, {what}" in medians
        },
    }
    for name, ratio in ratios.items():
        print(f"{name:45} {ratio:8.2f}")
    versions = {name: version(name) for name in ("xllamacpp", "transformers", "torch", "sagechain")}
    print(json.dumps({"python": platform.python_version(), "cores": os.cpu_count(), **versions, "ratios": ratios}))


if __name__ == "__main__":
    main()
