"""What does a turn of `conversation` cost beside a bare LangGraph graph with the same checkpointer?

Method: a chat model that answers at once, 40 turns on a thread, in memory and in SQLite; the two graphs alternate, medians
of a turn are shown. The ceiling is LangGraph's own time.

Target: a turn within 1.5 × that of the bare graph.

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
from sagechain.chains import conversation

MODEL = FakeListChatModel(responses=["Paris."])


def bare(checkpointer: Any) -> Any:
    """A graph of one node that asks the model."""
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


def main() -> None:
    """Print medians, ratios, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a few turns, without judging time")
    repeat, number = (1, 3) if parser.parse_args().smoke else (5, 40)
    ratios = {}
    with tempfile.TemporaryDirectory() as folder, SqliteSaver.from_conn_string(str(Path(folder) / "t.sqlite")) as disk:
        for where, keeper in (("memory", InMemorySaver()), ("SQLite", disk)):
            times = measured(keeper, repeat, number)
            medians = {name: statistics.median(taken) for name, taken in times.items()}
            ratios[where] = round(medians["conversation"] / medians["bare"], 2)
            for name, taken in times.items():
                print(f"{where:7} {name:13} {medians[name] * 1e3:7.2f} ms  (up to {max(taken) * 1e3:.2f})")
            print(f"{where:7} ratio         {ratios[where]:7.2f}")
    versions = {name: version(name) for name in ("langgraph", "langchain-core", "sagechain")}
    print(json.dumps({"python": platform.python_version(), "cores": os.cpu_count(), **versions, "ratios": ratios}))


if __name__ == "__main__":
    main()
