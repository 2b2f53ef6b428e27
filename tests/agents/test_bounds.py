"""Bounds of a turn, in anybody's `create_agent`: each sync and async, seen in what the model is given and in the answer."""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.messages.tool import invalid_tool_call
from langchain_core.tools import ToolException, tool
from sagechain.agents.middleware import InvalidCalls, RepeatedCalls, ToolTimeLimit, TurnLimit, tool_errors

from tests.agents.scripted_chat import ScriptedChat, calls, says

Asked = Callable[[Any], list[AnyMessage]]


def invoked(agent: Any) -> list[AnyMessage]:
    messages: list[AnyMessage] = agent.invoke({"messages": [("human", "Go")]})["messages"]
    return messages


def ainvoked(agent: Any) -> list[AnyMessage]:
    messages: list[AnyMessage] = asyncio.run(agent.ainvoke({"messages": [("human", "Go")]}))["messages"]
    return messages


both = pytest.mark.parametrize("asked", [invoked, ainvoked])


@tool
def look(word: str) -> str:
    """Look a word up."""
    return f"{word}: found"


@tool
def fail(word: str) -> str:
    """Fail."""
    raise RuntimeError(f"secret of {word}")


@tool
def refuse(word: str) -> str:
    """Refuse."""
    raise ToolException("Give a longer word.")


@tool
def hang(word: str) -> str:
    """Take long."""
    time.sleep(0.6)
    return "late"


@tool
async def ahang(word: str) -> str:
    """Take long."""
    await asyncio.sleep(30)
    return "late"


def shown(messages: list[AnyMessage]) -> list[tuple[str, str]]:
    return [(message.type, message.text) for message in messages[1:]]


@both
def test_a_call_that_repeats_one_is_not_made_and_the_model_is_told_why(asked: Asked) -> None:
    model = ScriptedChat(script=[calls("look", "1", word="a"), calls("look", "2", word="a"), says("Done.")])
    messages = asked(create_agent(model, [look], middleware=[RepeatedCalls()]))
    assert [text for kind, text in shown(messages) if kind == "tool"] == [
        "a: found",
        "Not called: look was called with these same arguments before in this turn, and its result stands above. "
        "Use that result, call with other arguments, or answer.",
    ]
    assert messages[-1].text == "Done."


@both
def test_calls_with_other_arguments_and_in_later_turns_are_made(asked: Asked) -> None:
    model = ScriptedChat(script=[calls("look", "1", word="a"), calls("look", "2", word="b"), says("Done.")])
    messages = asked(create_agent(model, [look], middleware=[RepeatedCalls()]))
    assert [text for kind, text in shown(messages) if kind == "tool"] == ["a: found", "b: found"]
    later = ScriptedChat(script=[calls("look", "3", word="a"), says("Done.")])
    agent = create_agent(later, [look], middleware=[RepeatedCalls()])
    again = agent.invoke({"messages": [*messages, HumanMessage("Again")]})
    assert again["messages"][-2].text == "a: found"


@both
def test_of_equal_calls_in_one_message_one_is_made(asked: Asked) -> None:
    twice = AIMessage("", tool_calls=calls("look", "1", word="a").tool_calls + calls("look", "2", word="a").tool_calls)
    messages = asked(create_agent(ScriptedChat(script=[twice, says("Done.")]), [look], middleware=[RepeatedCalls()]))
    results = {message.tool_call_id: message.text for message in messages if message.type == "tool"}
    assert results["1"] == "a: found"
    assert results["2"].startswith("Not called: look was called")


@both
def test_what_a_tool_raises_goes_to_the_model_as_text_and_to_the_log_in_full(
    asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    model = ScriptedChat(script=[calls("fail", word="a"), says("It failed.")])
    with caplog.at_level(logging.ERROR, "sagechain.agents"):
        messages = asked(create_agent(model, [fail], middleware=[tool_errors()]))
    assert messages[-2].text.startswith("fail failed (RuntimeError), and it is not known whether it did its work.")
    assert "secret" not in model.everything
    [record] = caplog.records
    assert record.name == "sagechain.agents"
    assert record.message == "tool fail failed, called with {'word': 'a'}"
    assert "RuntimeError: secret of a" in caplog.text
    assert "Traceback" in caplog.text


@both
def test_a_tool_that_speaks_to_the_model_is_heard(asked: Asked) -> None:
    messages = asked(
        create_agent(
            ScriptedChat(script=[calls("refuse", word="a"), says("Hm.")]), [refuse], middleware=[tool_errors()]
        )
    )
    assert messages[-2].text == "Give a longer word."


@pytest.mark.parametrize(("asked", "slow"), [(invoked, hang), (ainvoked, hang), (ainvoked, ahang)])
def test_a_tool_has_so_long_and_no_longer(asked: Asked, slow: Any) -> None:
    model = ScriptedChat(script=[calls(slow.name, word="a"), says("No answer.")])
    began = time.monotonic()
    messages = asked(create_agent(model, [slow], middleware=[ToolTimeLimit(seconds=0.1)]))
    assert time.monotonic() - began < 5
    assert messages[-2].text.startswith(
        f"{slow.name} took longer than 0.1 seconds. It may have done its work all the same"
    )
    assert (messages[-2].status, messages[-1].text) == ("error", "No answer.")  # type: ignore[union-attr]


ENDLESS = """
import asyncio, threading
from langchain.agents import create_agent
from langchain_core.tools import tool
from sagechain.agents.middleware import ToolTimeLimit
from tests.agents.scripted_chat import ScriptedChat, calls, says

@tool
def endless(word: str) -> str:
    '''Never end.'''
    threading.Event().wait()
    return word

model = ScriptedChat(script=[calls("endless", word="a"), says("No answer.")])
agent = create_agent(model, [endless], middleware=[ToolTimeLimit(seconds=0.1)])
print(WAY["messages"][-1].text)
"""


@pytest.mark.parametrize("way", ["agent.invoke(given)", "asyncio.run(agent.ainvoke(given))"])
def test_a_process_ends_though_a_tool_of_its_never_does(way: str) -> None:
    code = ENDLESS.replace("WAY", way.replace("given", '{"messages": [("human", "Go")]}'))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (0, "No answer.\n"), done.stderr


def unreadable(call_id: str | None = "1") -> AIMessage:
    wrong = invalid_tool_call(name="look", args='{"word": ', id=call_id, error="it ends too soon")
    return AIMessage("", invalid_tool_calls=[wrong])


@both
@pytest.mark.parametrize("call_id", ["1", None])
def test_a_call_that_cannot_be_read_goes_back_with_what_was_wrong(asked: Asked, call_id: str | None) -> None:
    model = ScriptedChat(script=[unreadable(call_id), calls("look", "2", word="a"), says("Done.")])
    messages = asked(create_agent(model, [look], middleware=[InvalidCalls()]))
    assert [text for kind, text in shown(messages) if kind == "tool"] == [
        'Not called: this call of look could not be read: it ends too soon. It was: {"word": \nCall it again, with a JSON '
        "object of the tool's own arguments, or answer without it.",
        "a: found",
    ]
    assert messages[-1].text == "Done."


@both
def test_a_model_that_never_makes_a_readable_call_ends_its_turn_plainly(asked: Asked) -> None:
    model = ScriptedChat(script=[unreadable()])
    messages = asked(create_agent(model, [look], middleware=[InvalidCalls(tries=2)]))
    assert len(model.calls) == 3
    assert (
        messages[-1].text
        == "I could not do this: my calls of the tools for it could not be read. Ask again in other words."
    )


@both
def test_a_turn_ends_when_its_tokens_are_used_up(asked: Asked) -> None:
    usage: Any = {"input_tokens": 60, "output_tokens": 10, "total_tokens": 70}
    script = [calls("look", str(i), word=str(i)).model_copy(update={"usage_metadata": usage}) for i in range(9)]
    model = ScriptedChat(script=script)
    messages = asked(create_agent(model, [look], middleware=[TurnLimit(tokens=200)]))
    assert len(model.calls) == 3
    assert messages[-1].text.startswith("I stopped before this was done: it has used 210 tokens of 200.")
    assert messages[-1].response_metadata["finish_reason"] == "bound"


@both
def test_tokens_that_a_model_does_not_tell_are_estimated(asked: Asked) -> None:
    model = ScriptedChat(script=[calls("look", str(i), word="many " * 100) for i in range(9)])
    messages = asked(create_agent(model, [look], middleware=[TurnLimit(tokens=100)]))
    assert len(model.calls) == 1
    assert messages[-1].text.startswith("I stopped before this was done: it has used")


class SlowChat(ScriptedChat):
    """Takes a while for each message."""

    seconds: float

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        time.sleep(self.seconds)
        return super()._generate(*args, **kwargs)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(self.seconds)
        return super()._generate(*args, **kwargs)


@both
def test_a_turn_ends_when_its_time_is_over_in_a_call_or_between_two(asked: Asked) -> None:
    stopped = "I stopped before this was done: it took longer than 2 seconds."
    hanging = SlowChat(script=[says("late")], seconds=4)
    messages = asked(create_agent(hanging, [look], middleware=[TurnLimit(seconds=2)]))
    assert [message.type for message in messages] == ["human", "ai"]
    assert messages[-1].text.startswith(stopped)
    looping = SlowChat(script=[calls("look", str(i), word=str(i)) for i in range(99)], seconds=0.3)
    assert asked(create_agent(looping, [look], middleware=[TurnLimit(seconds=2)]))[-1].text.startswith(stopped)
    assert 1 <= len(looping.calls) <= 8


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: TurnLimit(seconds=0), "seconds: 0"),
        (lambda: TurnLimit(tokens=-1), "tokens: -1"),
        (lambda: RepeatedCalls(allowed=0), "allowed: 0"),
        (lambda: InvalidCalls(tries=-1), "tries: -1"),
        (lambda: ToolTimeLimit(seconds=0), "seconds: 0"),
    ],
)
def test_a_bound_that_makes_no_sense_is_refused(made: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made()
