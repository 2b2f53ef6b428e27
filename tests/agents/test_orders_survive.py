"""A process that places orders is killed at random moments: no order is written twice, and none is lost."""

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage

from tests import processes
from tests.agents.ordering_process import STOCK, is_rejected, open_graph, open_shop, read_lines


@pytest.mark.parametrize("kills", [8, pytest.param(50, marks=pytest.mark.prove)])
def test_orders_survive_kills(tmp_path: Path, kills: int) -> None:
    done = processes.run("-m", "tests.agents.ordering_process", str(tmp_path), "7", str(kills), timeout=200)
    assert done.returncode == 0, done.stderr
    lines = read_lines(tmp_path / "started")
    threads = sorted({int(thread) for thread in lines})
    assert len(lines) >= len(threads) + kills // 2  # most kills were in the middle of a thread
    decisions = read_lines(tmp_path / "decisions")
    approved = {int(line.split()[0]) for line in decisions if line.endswith("approve")}
    assert approved == {thread for thread in threads if not is_rejected(thread)}

    with sqlite3.connect(tmp_path / "shop.sqlite") as connection:
        orders = dict(connection.execute("SELECT key, number FROM orders").fetchall())
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    # One order for each approved thread, none for a rejected one.
    assert Counter(int(key.split("/")[0]) for key in orders) == Counter(approved)
    shop = open_shop(tmp_path)
    assert shop.stock(shop.products[0]) == STOCK - 2 * len(orders)

    graph = open_graph(tmp_path)
    for thread in threads:
        config: Any = {"configurable": {"thread_id": str(thread)}}
        state = graph.get_state(config)
        assert not state.tasks
        messages = state.values["messages"]
        assert [message.type for message in messages][-4:] == ["human", "ai", "tool", "ai"], thread
        call, result = messages[-3:-1]
        assert isinstance(call, AIMessage)
        assert isinstance(result, ToolMessage)
        number = orders.get(f"{thread}/{call.id}/{call.tool_calls[0]['id']}")
        assert (f"Order {number} is placed: 2 x Heron 2 tent" in result.text) != is_rejected(thread)
