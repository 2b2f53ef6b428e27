"""Limits on a turn of any `create_agent`, sync and async, checked by what the model gets and by the answer."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.messages.tool import invalid_tool_call
from langchain_core.tools import ToolException, tool
from sagechain.agents.middleware import InvalidCalls, RepeatedCalls, ToolTimeLimit, TurnLimit, tool_errors

from tests import processes
from tests.agents.scripted_chat import ScriptedChat, calls, says

Run = Callable[[Any], list[AnyMessage]]


def invoke(agent: Any) -> list[AnyMessage]:
    messages: list[AnyMessage] = agent.invoke({"messages": [("human", "Go")]})["messages"]
    return messages


def ainvoke(agent: Any) -> list[AnyMessage]:
    messages: list[AnyMessage] = asyncio.run(agent.ainvoke({"messages": [("human", "Go")]}))["messages"]
    return messages


sync_and_async = pytest.mark.parametrize("run", [invoke, ainvoke])


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
    """Never end."""
    threading.Event().wait()
    return "late"


@tool
async def ahang(word: str) -> str:
    """Never end."""
    await asyncio.Event().wait()
    return "late"


def tool_results(messages: list[AnyMessage]) -> list[str]:
    return [message.text for message in messages if message.type == "tool"]


@sync_and_async
def test_a_repeated_call_is_refused_with_the_reason(run: Run) -> None:
    model = ScriptedChat(script=[calls("look", "1", word="a"), calls("look", "2", word="a"), says("Done.")])
    messages = run(create_agent(model, [look], middleware=[RepeatedCalls()]))
    assert tool_results(messages) == [
        "a: found",
        "Not called: look was called with these same arguments before in this turn, and its result stands above. "
        "Use that result, call with other arguments, or answer.",
    ]
    assert messages[-1].text == "Done."


@sync_and_async
def test_calls_with_other_arguments_or_in_later_turns_are_executed(run: Run) -> None:
    model = ScriptedChat(script=[calls("look", "1", word="a"), calls("look", "2", word="b"), says("Done.")])
    messages = run(create_agent(model, [look], middleware=[RepeatedCalls()]))
    assert tool_results(messages) == ["a: found", "b: found"]
    later = ScriptedChat(script=[calls("look", "3", word="a"), says("Done.")])
    agent = create_agent(later, [look], middleware=[RepeatedCalls()])
    assert agent.invoke({"messages": [*messages, HumanMessage("Again")]})["messages"][-2].text == "a: found"


@sync_and_async
def test_of_equal_calls_in_one_message_one_is_executed(run: Run) -> None:
    twice = AIMessage("", tool_calls=calls("look", "1", word="a").tool_calls + calls("look", "2", word="a").tool_calls)
    messages = run(create_agent(ScriptedChat(script=[twice, says("Done.")]), [look], middleware=[RepeatedCalls()]))
    results = {message.tool_call_id: message.text for message in messages if message.type == "tool"}
    assert results["1"] == "a: found"
    assert results["2"].startswith("Not called: look was called")


@sync_and_async
def test_a_tools_exception_reaches_the_model_by_its_class_and_the_log_in_full(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    model = ScriptedChat(script=[calls("fail", word="a"), says("It failed.")])
    with caplog.at_level(logging.ERROR, "sagechain.agents"):
        messages = run(create_agent(model, [fail], middleware=[tool_errors()]))
    assert messages[-2].text.startswith("fail failed (RuntimeError), and it is not known whether it did its work.")
    assert "secret" not in model.everything
    [record] = caplog.records
    assert record.name == "sagechain.agents"
    assert record.message == "tool fail failed, called with {'word': 'a'}"
    assert "RuntimeError: secret of a" in caplog.text
    assert "Traceback" in caplog.text


@sync_and_async
def test_the_text_of_a_tool_exception_reaches_the_model(run: Run) -> None:
    model = ScriptedChat(script=[calls("refuse", word="a"), says("Hm.")])
    messages = run(create_agent(model, [refuse], middleware=[tool_errors()]))
    assert messages[-2].text == "Give a longer word."


@pytest.mark.parametrize(("run", "slow"), [(invoke, hang), (ainvoke, hang), (ainvoke, ahang)])
def test_a_tool_is_not_waited_for_beyond_its_time_limit(run: Run, slow: Any) -> None:
    model = ScriptedChat(script=[calls(slow.name, word="a"), says("No answer.")])
    messages = run(create_agent(model, [slow], middleware=[ToolTimeLimit(seconds=0.1)]))
    assert messages[-2].text.startswith(
        f"{slow.name} took longer than 0.1 seconds. It may have done its work all the same"
    )
    assert (messages[-2].status, messages[-1].text) == ("error", "No answer.")  # type: ignore[union-attr]


ENDLESS_TOOL = """
from tests.agents.test_middleware import *

model = ScriptedChat(script=[calls("hang", word="a"), says("No answer.")])
print(RUN(create_agent(model, [hang], middleware=[ToolTimeLimit(seconds=0.1)]))[-1].text)
"""


@pytest.mark.parametrize("run", ["invoke", "ainvoke"])
def test_a_process_ends_although_its_tool_never_does(run: str) -> None:
    done = processes.run("-c", ENDLESS_TOOL.replace("RUN", run), timeout=60)
    assert (done.returncode, done.stdout) == (0, "No answer.\n"), done.stderr


def malformed(call_id: str | None = "1") -> AIMessage:
    call = invalid_tool_call(name="look", args='{"word": ', id=call_id, error="it ends too soon")
    return AIMessage("", invalid_tool_calls=[call])


@sync_and_async
@pytest.mark.parametrize("call_id", ["1", None])
def test_a_malformed_call_is_returned_with_its_error(run: Run, call_id: str | None) -> None:
    model = ScriptedChat(script=[malformed(call_id), calls("look", "2", word="a"), says("Done.")])
    messages = run(create_agent(model, [look], middleware=[InvalidCalls()]))
    assert tool_results(messages) == [
        'Not called: this call of look could not be read: it ends too soon. It was: {"word": \nCall it again, with a JSON '
        "object of the tool's own arguments, or answer without it.",
        "a: found",
    ]
    assert messages[-1].text == "Done."


@sync_and_async
def test_after_too_many_malformed_calls_the_turn_ends_with_an_answer(run: Run) -> None:
    model = ScriptedChat(script=[malformed()])
    messages = run(create_agent(model, [look], middleware=[InvalidCalls(tries=2)]))
    assert len(model.calls) == 3
    assert (
        messages[-1].text
        == "I could not do this: the tool calls that I wrote for it are malformed. Please word your request differently."
    )


@sync_and_async
def test_a_turn_ends_at_its_token_limit(run: Run) -> None:
    usage: Any = {"input_tokens": 60, "output_tokens": 10, "total_tokens": 70}
    script = [calls("look", str(i), word=str(i)).model_copy(update={"usage_metadata": usage}) for i in range(9)]
    model = ScriptedChat(script=script)
    messages = run(create_agent(model, [look], middleware=[TurnLimit(tokens=200)]))
    assert len(model.calls) == 3
    assert messages[-1].text.startswith("I stopped before this was done: it has used 210 tokens of 200.")
    assert messages[-1].response_metadata["finish_reason"] == "bound"


@sync_and_async
def test_tokens_are_estimated_for_a_model_that_reports_none(run: Run) -> None:
    model = ScriptedChat(script=[calls("look", str(i), word="many " * 100) for i in range(9)])
    messages = run(create_agent(model, [look], middleware=[TurnLimit(tokens=100)]))
    assert len(model.calls) == 1
    assert messages[-1].text.startswith("I stopped before this was done: it has used")


class HangingChat(ScriptedChat):
    """Never answers."""

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        threading.Event().wait()

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        await asyncio.Event().wait()


@sync_and_async
def test_a_turn_ends_at_its_time_limit_during_a_generation(run: Run) -> None:
    messages = run(create_agent(HangingChat(script=[]), [look], middleware=[TurnLimit(seconds=0.2)]))
    assert [message.type for message in messages] == ["human", "ai"]
    assert messages[-1].text.startswith("I stopped before this was done: it took longer than 0.2 seconds.")


@sync_and_async
def test_a_turn_ends_at_its_time_limit_between_two_generations(run: Run) -> None:
    script = [calls("look", str(i), word=str(i)) for i in range(10_000)]
    messages = run(
        create_agent(ScriptedChat(script=script), [look], middleware=[TurnLimit(seconds=0.2)]).with_config(
            recursion_limit=100_000
        )
    )
    assert messages[-1].text.startswith("I stopped before this was done: it took longer than 0.2 seconds.")


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (lambda: TurnLimit(seconds=0), "seconds: 0"),
        (lambda: TurnLimit(tokens=-1), "tokens: -1"),
        (lambda: RepeatedCalls(allowed=0), "allowed: 0"),
        (lambda: InvalidCalls(tries=-1), "tries: -1"),
        (lambda: ToolTimeLimit(seconds=0), "seconds: 0"),
    ],
)
def test_an_impossible_limit_is_an_error(create: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create()
