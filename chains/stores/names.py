"""Names of threads: one rule for every store, graph and command."""

import re
from uuid import UUID

from langchain_core.runnables import RunnableConfig

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
    """The configuration with a valid name of a thread."""
    configurable = config["configurable"]
    return {**config, "configurable": {**configurable, "thread_id": check_name(configurable.get("thread_id"))}}
