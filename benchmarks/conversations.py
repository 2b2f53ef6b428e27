"""What does a turn of `conversation` cost beside a bare LangGraph graph with the same checkpointer?

Method: a chat model without delay, 40 turns on a thread, in memory and in SQLite; the two graphs alternate, medians
of a turn are shown. The ceiling is LangGraph's own time.

Target: a turn within 1.5 × that of the bare graph.

Does a turn cost more, the longer its thread is? Method: 2,000 turns on one thread over a store (SQLite, and PostgreSQL
where SAGECHAIN_BENCHMARK_POSTGRES is a database's URL), medians of the 21 turns around turn 50 and of the last 21, with a
model of unknown context. Target: turn 2,000 within 2 × turn 50.

    python benchmarks/conversations.py
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from sagechain.chains import conversation, open_store

MODEL = FakeListChatModel(responses=["Paris."])


def bare(checkpointer: Any) -> Any:
    """A graph of one node that calls the model."""
    graph = StateGraph(MessagesState)
    graph.add_node("answer", lambda state: {"messages": [MODEL.invoke(state["messages"])]})
    graph.add_edge(START, "answer")
    graph.add_edge("answer", END)
    return graph.compile(checkpointer=checkpointer)


def turns(graph: Any, thread: str, number: int) -> list[float]:
    """Seconds of each turn on a new thread."""
    times = []
    for turn in range(number):
        began = time.perf_counter()
        graph.invoke({"messages": [HumanMessage(f"Turn {turn}.")]}, {"configurable": {"thread_id": thread}})
        times.append(time.perf_counter() - began)
    return times


def measured(checkpointer: Any, repeat: int, number: int) -> dict[str, list[float]]:
    """Both graphs, in turn."""
    graphs = {"bare": bare(checkpointer), "conversation": conversation(MODEL, checkpointer=checkpointer)}
    times: dict[str, list[float]] = {name: [] for name in graphs}
    for round_number in range(repeat + 1):
        for name, graph in graphs.items():
            taken = turns(graph, f"{name} {round_number}", number)
            if round_number:
                times[name] += taken
    return times


def flatness(place: str, number: int) -> float:
    """The time of the last turns of a thread over that of turns around turn 50."""
    with open_store(place) as store:
        graph = conversation(MODEL, checkpointer=store)
        times = turns(graph, f"long {time.time()}", number)
    early, late = (statistics.median(part) for part in (times[39:60], times[-21:]))
    kind = place.partition("://")[0] if "://" in place else "SQLite"
    print(f"{kind:10} turn 50 {early * 1e3:7.2f} ms, turn {number} {late * 1e3:7.2f} ms, ratio {late / early:.2f}")
    return round(late / early, 2)


def main() -> None:
    """Print medians, ratios, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a few turns, without checking the targets")
    repeat, number, long = (1, 3, 100) if parser.parse_args().smoke else (5, 40, 2_000)
    ratios = {}
    with tempfile.TemporaryDirectory() as folder, SqliteSaver.from_conn_string(str(Path(folder) / "t.sqlite")) as disk:
        for where, keeper in (("memory", InMemorySaver()), ("SQLite", disk)):
            times = measured(keeper, repeat, number)
            medians = {name: statistics.median(taken) for name, taken in times.items()}
            ratios[where] = round(medians["conversation"] / medians["bare"], 2)
            for name, taken in times.items():
                print(f"{where:7} {name:13} {medians[name] * 1e3:7.2f} ms  (up to {max(taken) * 1e3:.2f})")
            print(f"{where:7} ratio         {ratios[where]:7.2f}")
    with tempfile.TemporaryDirectory() as folder:
        places = [str(Path(folder) / "long.sqlite"), os.environ.get("SAGECHAIN_BENCHMARK_POSTGRES")]
        flat = [flatness(place, long) for place in places if place]
    versions = {name: version(name) for name in ("langgraph", "langchain-core", "sagechain")}
    print(
        json.dumps(
            {
                "python": platform.python_version(),
                "cores": os.cpu_count(),
                **versions,
                "ratios": ratios,
                "flatness": flat,
            }
        )
    )


if __name__ == "__main__":
    main()
