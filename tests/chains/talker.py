"""A process that talks: python talker.py PLACE THREAD NAME TURNS, a line on standard output after every turn."""

import sys
from typing import Any

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from sagechain.chains import conversation, open_store

place, thread, name, turns = sys.argv[1:]
with open_store(place) as store:
    graph: Any = conversation(FakeListChatModel(responses=["Yes."]), checkpointer=store)
    print("ready", flush=True)
    for number in range(int(turns)):
        graph.invoke({"messages": [("human", f"{name} {number}")]}, {"configurable": {"thread_id": thread}})
        print(number, flush=True)
