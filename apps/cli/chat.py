"""`sagechain chat`: a conversation that remembers, in the terminal or over a pipe (one turn a line).

Conversations are kept in one SQLite file, each a thread by name: one that ended, or whose process died, goes on with `-c`.
"""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from sagechain.agents.command_line import note
from sagechain.agents.talking import answer, typed
from sagechain.apps.cli.options import DEFAULT_MODEL, ModelOption, ParameterOption, parameters

if TYPE_CHECKING:
    import asyncio

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from sagechain.chains.threads import Conversation

Kept = TypeVar("Kept")


def chat(
    model: ModelOption = DEFAULT_MODEL,
    system: Annotated[
        str | None, typer.Option("-s", "--system", help="What the model is told first; a friendly text if not given.")
    ] = None,
    thread: Annotated[
        str | None, typer.Option("--thread", metavar="NAME", help="The conversation to begin or to go on with.")
    ] = None,
    go_on: Annotated[bool, typer.Option("-c", "--continue", help="Go on with the last conversation.")] = False,
    kept_in: Annotated[
        Path | None,
        typer.Option(
            "--kept-in", metavar="FILE", envvar="SAGECHAIN_THREADS", help="Where conversations are kept (SQLite)."
        ),
    ] = None,
    given: ParameterOption = None,
) -> None:
    """Talk with a model that remembers. /reset forgets, /exit ends.

    Example: sagechain chat -m "sagemaker:my-falcon?family=falcon" --thread ada
    """
    if thread is not None and go_on:
        raise typer.BadParameter("give --thread or --continue, not both")
    import asyncio

    from sagechain.chains import areset, conversation
    from sagechain.llms import load_chat_model
    from sagechain.prompts import load_prompt

    told = load_prompt("chatbot").format() if system is None else system
    chat_model = load_chat_model(model, **parameters(given))
    # Lines are read here, so that a Ctrl-C ends the reading; all else is async, so that it ends the model's work at once.
    with asyncio.Runner() as runner, _in(runner, _keeper(_file(kept_in))) as keeper:
        name = runner.run(_last(keeper)) if go_on else thread or _new_name()
        graph, config = conversation(chat_model, system=told, checkpointer=keeper), _thread(name)
        turns = runner.run(_turns(graph, config))
        if turns or sys.stdin.isatty():
            note(f"(Thread {name}, {turns} turns so far.)")
        for turn in typed():
            if turn == "/exit":
                return
            if turn == "/reset":
                runner.run(areset(graph, name))
                note("(forgotten)")
            elif turn:
                runner.run(answer(graph, turn, config))


@asynccontextmanager
async def _keeper(file: Path) -> AsyncIterator["AsyncSqliteSaver"]:
    import sqlite3

    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    file.parent.mkdir(parents=True, exist_ok=True)
    async with AsyncSqliteSaver.from_conn_string(str(file)) as keeper:
        try:
            await keeper.setup()
        except sqlite3.Error as error:
            raise ValueError(f"--kept-in: {str(file)!r} is no file of conversations: {error}") from error
        yield keeper


@contextmanager
def _in(runner: "asyncio.Runner", context: AbstractAsyncContextManager[Kept]) -> Iterator[Kept]:
    """An async context in a sync one."""
    value = runner.run(context.__aenter__())
    try:
        yield value
    finally:
        runner.run(context.__aexit__(None, None, None))


def _thread(name: str) -> "RunnableConfig":
    return {"configurable": {"thread_id": name}}


async def _turns(graph: "Conversation", thread: "RunnableConfig") -> int:
    return sum(message.type == "human" for message in (await graph.aget_state(thread)).values.get("messages", ()))


async def _last(keeper: "AsyncSqliteSaver") -> str:
    """The thread that was talked in last. Raises ValueError where there is none."""
    async for saved in keeper.alist(None, limit=1):
        return str(saved.config["configurable"]["thread_id"])
    raise ValueError("--continue: no conversation is kept yet; begin one without it")


def _new_name() -> str:
    from datetime import datetime

    return f"{datetime.now():%Y-%m-%d-%H%M%S-%f}"


def _file(given: Path | None) -> Path:
    from platformdirs import user_data_path

    return given or user_data_path("sagechain") / "threads.sqlite"
