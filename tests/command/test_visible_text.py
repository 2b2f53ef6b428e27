"""Text of models, servers and tools on a terminal: control characters are shown, not executed."""

import io
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from sagechain.chains import conversation, reset
from sagechain.command import print_note, print_text, run_app, talk
from sagechain.prompts import visible, visible_line

CLIPBOARD = "\x1b]52;c;cm0gLXJmIH4=\x07"  # writes the clipboard in xterm, kitty, iTerm2 and others


class Terminal(io.StringIO):
    """Standard output as a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (CLIPBOARD, r"\x1b]52;c;cm0gLXJmIH4=\x07"),
        ("price 5\x1b[2K\x1b[1Gprice 1", r"price 5\x1b[2K\x1b[1Gprice 1"),
        ("5 tents\r1 tent", r"5 tents\r1 tent"),
        ("\x9b31m\x90q\x85", r"\x9b31m\x90q\x85"),
        ("half \ud83d", r"half \ud83d"),
        ("a\b\x7f\0", r"a\x08\x7f\x00"),
        ("user\u202eexe.txt\u2066", r"user\u202eexe.txt\u2066"),
        ("a\tb\nc\r\nd é 👩‍👩‍👦 \u200f", "a\tb\nc\nd é 👩‍👩‍👦 \u200f"),
    ],
)
def test_control_characters_are_written_as_in_a_python_string(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_no_text_moves_the_cursor_or_starts_a_terminal_command(text: str) -> None:
    assert not [
        character
        for character in visible(text)
        if character not in "\t\n" and (ord(character) < 32 or 126 < ord(character) < 160)
    ]
    assert "\n" not in visible_line(text)


def test_a_cell_of_a_table_is_one_line() -> None:
    assert visible_line("a\nb\tc\r\n") == r"a\nb\tc\n"


def test_a_pipe_gets_the_text_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    print_text(CLIPBOARD)
    print_note(CLIPBOARD)
    assert capsys.readouterr() == (f"{CLIPBOARD}\n", f"{CLIPBOARD}\n")


def test_answers_and_notes_are_visible_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", answers := Terminal())
    monkeypatch.setattr(sys, "stderr", notes := Terminal())
    talk(conversation(FakeListChatModel(responses=[CLIPBOARD])), ["Hi"], reset=reset)
    print_note(f"e: the container answered: {CLIPBOARD}")
    shown = r"\x1b]52;c;cm0gLXJmIH4=\x07"
    assert (answers.getvalue(), notes.getvalue()) == (f"{shown}\n", f"e: the container answered: {shown}\n")


@pytest.mark.parametrize(("stream", "shown"), [(Terminal(), r"\x1b]52;c;cm0gLXJmIH4=\x07"), (io.StringIO(), CLIPBOARD)])
def test_what_a_command_logs_is_visible_on_a_terminal(
    stream: io.StringIO, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(**settings: object) -> None:
        try:
            raise OSError(f"the shop answered: {CLIPBOARD}")
        except OSError:
            logger.exception("tool order failed")

    logger = logging.getLogger("tests.without_a_handler")
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logging, "lastResort", type(logging.lastResort)(logging.WARNING))  # type: ignore[misc]
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(SystemExit):
        run_app(command, "program", error_prefix="program")
    assert stream.getvalue().startswith("tool order failed\n")
    assert stream.getvalue().endswith(f"OSError: the shop answered: {shown}\n")
