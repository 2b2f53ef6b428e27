"""Names of threads: one rule for every store, graph and command."""

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from sagechain.prompts import visible_line

LONGEST_NAME = 255  # characters: PostgreSQL has an index on the name
NOT_IN_NAMES = re.compile("[\x00\ud800-\udfff]")


def check_name(thread: object) -> str:
    """The name of a thread, by one rule for every store, graph and command.

    It has 1 to 255 characters, without NUL and lone surrogates; an int or UUID is its text, as in LangGraph.

    Raises:
        ValueError: another value.
    """
    name = str(thread) if isinstance(thread, int | UUID) and not isinstance(thread, bool) else thread
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or NOT_IN_NAMES.search(name):
        shown = repr(name[:41])[:-1] + "…'" if isinstance(name, str) and len(name) > LONGEST_NAME else repr(name)
        raise ValueError(
            f"thread: {shown} is not a valid name; give 1 to {LONGEST_NAME} characters, no NUL and no broken Unicode"
        )
    return name


def with_checked_name(config: RunnableConfig) -> RunnableConfig:
    """The configuration with a valid name of a thread. Raises ValueError without one, with the configuration to pass."""
    name = thread_of(config)
    if name is None:
        raise no_thread(config)
    return {**config, "configurable": {**config["configurable"], "thread_id": name}}


def thread_of(config: RunnableConfig) -> str | None:
    """The name of the thread in a configuration; None if it has none. Raises ValueError on one that is not valid."""
    configurable = config.get("configurable")
    name = configurable.get("thread_id") if isinstance(configurable, Mapping) else None
    return None if name is None else check_name(name)


def no_thread(config: object) -> ValueError:
    """The error for a configuration that names no thread, or names it in the wrong place, with the one to pass."""
    given: Mapping[Any, Any] = config if isinstance(config, Mapping) else {}
    inside = given.get("configurable")
    names = [str(each) for each in inside if each != "thread_id"] if isinstance(inside, Mapping) else []
    problem, name = "the configuration names no thread, and the conversation is stored by its thread", None
    if config is not None and not isinstance(config, Mapping):
        problem, name = f"the configuration is a dict, not {type(config).__name__}", config
    elif "thread_id" in given:
        problem, name = "it stands outside of 'configurable'", given["thread_id"]
    elif near := get_close_matches("thread_id", names, n=1):
        problem, name = f"the configuration has {near[0]!r} instead", (inside or {}).get(near[0])
    shown = json.dumps(name if isinstance(name, str) and name == visible_line(name)[:40] else "NAME")
    return ValueError(
        f'thread_id: {problem}. The configuration to pass is {{"configurable": {{"thread_id": {shown}}}}}, as in '
        "graph.invoke(input, configuration) and graph.get_state(configuration)"
    )
