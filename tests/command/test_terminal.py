"""The terminal loop: prepared and typed turns, /reset and /exit, and notes apart from answers."""

import io
import sys

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from sagechain.chains import conversation, reset
from sagechain.command import announced, talk, typed_turns, warn_if_truncated


def test_answers_go_to_standard_output_and_notes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    graph = conversation(FakeListChatModel(responses=["One.", "Two.", "Three."]))
    answered: list[str] = []
    turns = ["Hi", "", "Again", "/reset", "Hi", "/exit", "a turn that is never answered"]
    talk(graph, announced(turns), reset=reset, thread="ada", after_answer=lambda: answered.append("."))
    output = capsys.readouterr()
    assert output.out == "One.\nTwo.\nThree.\n"
    assert output.err.splitlines() == ["> Hi", "> ", "> Again", "> /reset", "(forgotten)", "> Hi", "> /exit"]
    assert len(answered) == 3
    messages = graph.get_state({"configurable": {"thread_id": "ada"}}).values["messages"]
    assert [message.text for message in messages] == ["Hi", "Three."]


def test_a_pipe_has_one_turn_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hi\n  Again \n\nlast"))
    assert list(typed_turns()) == ["Hi", "Again", "", "last"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("finish_reason", "is_warned"), [("length", True), ("stop", False), (None, False)])
def test_a_truncated_answer_is_noted(
    finish_reason: str | None, is_warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_if_truncated(finish_reason)
    assert ("-p max_new_tokens=…" in capsys.readouterr().err) is is_warned
