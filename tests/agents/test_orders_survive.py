"""A process that places orders is killed 50 times at random moments: none is doubled, none lost, each thread reads well."""

import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage

from tests.agents.ordering_process import KILLS, STOCK, is_rejected, noted, shop_in, visit_in


def test_orders_survive_fifty_kills(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.agents.ordering_process", str(tmp_path), "7"]
    subprocess.run(command, check=True, cwd=Path(__file__).parent.parent.parent, timeout=200)
    begun = sorted({int(thread) for thread in noted(tmp_path / "begun")})
    assert len(noted(tmp_path / "begun")) >= len(begun) + KILLS // 2  # most were killed in the middle of a thread
    approved = {int(line.split()[0]) for line in noted(tmp_path / "decided") if line.endswith("approve")}
    assert approved == {thread for thread in begun if not is_rejected(thread)}

    with sqlite3.connect(tmp_path / "shop.sqlite") as connection:
        orders = dict(connection.execute("SELECT key, number FROM orders").fetchall())
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    of_threads = Counter(int(key.split("/")[0]) for key in orders)
    assert of_threads == Counter(approved)  # not one doubled, not one lost, none that was rejected
    shop = shop_in(tmp_path)
    assert shop.stock(shop.products[0]) == STOCK - 2 * len(orders)

    visit = visit_in(tmp_path)
    for thread in begun:
        config: Any = {"configurable": {"thread_id": str(thread)}}
        state = visit.get_state(config)
        assert not state.tasks
        kinds = [message.type for message in state.values["messages"]]
        assert kinds[-4:] == ["human", "ai", "tool", "ai"], thread
        called, told = state.values["messages"][-3:-1]
        assert isinstance(called, AIMessage)
        assert isinstance(told, ToolMessage)
        number = orders.get(f"{thread}/{called.id}/{called.tool_calls[0]['id']}")
        assert (f"Order {number} is placed: 2 x Heron 2 tent" in told.text) != is_rejected(thread)
