"""`sagechain threads` lists, shows, exports and deletes conversations in SQLite and PostgreSQL, without a model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage, messages_from_dict
from sagechain.chains import conversation, open_store

from tests.apps.test_cli import run
from tests.processes import SAGECHAIN

CALL = {"name": "search", "args": {"query": "tent"}, "id": "1", "type": "tool_call"}
MESSAGES: list[BaseMessage] = [
    HumanMessage("A [red]tent[/red]\x1b[31m?", id="a"),
    AIMessage("", tool_calls=[CALL], id="b"),
    ToolMessage("Lark 2", tool_call_id="1", id="c"),
    AIMessage("The Lark 2.", id="d"),
]


@pytest.fixture
def stored(place: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The location of a store with two threads; the environment names it."""
    monkeypatch.setenv("SAGECHAIN_THREADS", place)
    with open_store(place) as store:
        graph = conversation(FakeListChatModel(responses=["Yes."]), checkpointer=store)
        graph.update_state({"configurable": {"thread_id": "ada"}}, {"messages": MESSAGES})
        graph.invoke({"messages": [HumanMessage("Hello.")]}, {"configurable": {"thread_id": "ben"}})
    return place


def test_threads_are_listed_the_latest_first(stored: str) -> None:
    done = run("threads", "list")
    assert done.returncode == 0
    heading, ben, ada = done.stdout.splitlines()
    assert heading.split() == ["thread", "turns", "messages", "first", "last", "begins", "with"]
    assert ben.split()[:3] == ["ben", "1", "2"]
    assert ben.rstrip().endswith("Hello.")
    assert ada.split()[:3] == ["ada", "1", "4"]
    assert ada.rstrip().endswith("A [red]tent[/red]\\x1b[31m?")


def test_a_thread_is_shown_with_its_tool_calls(stored: str) -> None:
    done = run("threads", "show", "ada")
    assert done.stdout.splitlines()[1:] == ['Call: search({"query": "tent"})', "Tool: Lark 2", "Model: The Lark 2."]
    assert done.stderr == ""


def test_a_pipe_gets_a_thread_unchanged(stored: str) -> None:
    assert run("threads", "show", "ada").stdout.splitlines()[0] == "You: A [red]tent[/red]\x1b[31m?"


def test_an_export_has_every_message_unchanged(stored: str) -> None:
    exported = json.loads(run("threads", "export", "ada").stdout)
    assert exported["thread"] == "ada"
    assert messages_from_dict([each["message"] for each in exported["messages"]]) == MESSAGES
    assert [each["turn"] for each in exported["messages"]] == [1, 1, 1, 1]
    markdown = run("threads", "export", "ben", "--format", "markdown").stdout
    assert markdown.startswith("# ben\n\n## 1, ")
    assert markdown.endswith("\n**You:** Hello.\n\n**Model:** Yes.\n")


def test_a_thread_is_deleted_after_a_confirmation(stored: str) -> None:
    refused = run("threads", "delete", "ada")
    assert (refused.returncode, "confirm with --yes" in refused.stderr) == (2, True)
    done = run("threads", "delete", "ada", "--yes")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "ada is deleted.\n")
    assert [line.split()[0] for line in run("threads", "list").stdout.splitlines()] == ["thread", "ben"]


def test_an_unknown_thread_is_a_usage_error_that_names_the_nearest(stored: str) -> None:
    for command in ("show", "export", "delete"):
        done = run("threads", command, "adda")
        assert done.returncode == 2
        assert done.stderr == "sagechain: thread: 'adda' is unknown. Did you mean 'ada'? Known: ada, ben\n"


def test_a_missing_file_is_an_empty_list_and_is_not_created(tmp_path: object) -> None:
    listed = run("threads", "list", "--kept-in", f"{tmp_path}/none.sqlite")
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, "", "No conversation is stored yet.\n")
    done = run("threads", "show", "ada", "--kept-in", f"{tmp_path}/none.sqlite")
    assert (done.returncode, "does not exist" in done.stderr) == (2, True)
    assert list(Path(str(tmp_path)).iterdir()) == []


def test_after_the_last_thread_is_deleted_the_list_is_empty(stored: str) -> None:
    for name in ("ada", "ben"):
        run("threads", "delete", name, "--yes")
    done = run("threads", "show", "ada")
    assert (done.returncode, done.stderr) == (2, "sagechain: thread: 'ada' is unknown; no conversation is stored yet\n")
    assert run("threads", "list").stderr == "No conversation is stored yet.\n"


@pytest.fixture
def long(place: str, monkeypatch: pytest.MonkeyPatch) -> list[BaseMessage]:
    """The messages of a thread of several pages, with control characters, other alphabets and half characters."""
    texts = [f"{number} été ⛺ \x1b[31m \ud800\n" * 50 for number in range(450)]
    messages: list[BaseMessage] = [
        AIMessage(text, id=f"{number}") if number % 2 else HumanMessage(text, id=f"{number}")
        for number, text in enumerate(texts)
    ]
    monkeypatch.setenv("SAGECHAIN_THREADS", place)
    with open_store(place) as store:
        graph = conversation(FakeListChatModel(responses=["Yes."]), checkpointer=store)
        graph.update_state({"configurable": {"thread_id": "long"}}, {"messages": messages})
    return messages


def test_a_long_thread_is_exported_completely(long: list[BaseMessage]) -> None:
    exported = json.loads(run("threads", "export", "long").stdout)
    assert messages_from_dict([each["message"] for each in exported["messages"]]) == long
    assert run("threads", "export", "long", "--format", "markdown").stdout.count("**You:** ") == 225


def test_an_output_without_utf_8_gets_escapes(long: list[BaseMessage]) -> None:
    for encoding, tent in (("ascii", "\\xe9t\\xe9 \\u26fa"), ("utf-8", "été ⛺")):
        # An interpreter takes the encoding from its environment when it starts.
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run(
            [SAGECHAIN, "threads", "show", "long"], env=environment, encoding=encoding, capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"You: 0 {tent} \x1b[31m \\ud800\n0 ")


@pytest.mark.parametrize("command", ["show", "export"])
def test_a_reader_that_leaves_early_ends_the_command_silently(long: list[BaseMessage], command: str) -> None:
    with subprocess.Popen(
        [SAGECHAIN, "threads", command, "long"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_server_that_refuses_is_a_one_line_error_without_the_password() -> None:
    done = run("threads", "list", "--kept-in", "postgresql://me:s3cret@127.0.0.1:1/db")
    assert done.returncode == 1
    assert done.stderr.startswith("sagechain: postgresql://me@127.0.0.1:1/db: ")
    assert len(done.stderr.splitlines()) == 1
    assert "s3cret" not in done.stderr


def test_reading_threads_loads_no_model_and_help_is_cheap(stored: str) -> None:
    code = (
        "import sys; sys.argv = ['sagechain', 'threads', 'list']\n"
        "from sagechain.apps.cli import main\n"
        "try: main()\n"
        "finally: print([name for name in ('torch', 'xllamacpp', 'boto3', 'sagechain.llms.load') if name in sys.modules])"
    )
    done = run("--help")
    assert "threads" in done.stdout
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert listed.stdout.splitlines()[-1] == "[]"
