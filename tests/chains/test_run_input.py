"""What a conversation is invoked with: a wrong input and a missing thread are one line that says what to write."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph, add_messages
from langgraph.types import Command
from pydantic import BaseModel
from sagechain.agents import llama2_assistant, llama2_chatbot
from sagechain.chains import chain_of_thought, code_completion, conversation
from sagechain.llms import PromptedChatModel, errors
from sagechain.llms.testing import ScriptedLLM

ADA: Any = {"configurable": {"thread_id": "ada"}}
TURN: Any = {"messages": [("human", "Hi")]}


def chat(answers: int = 4) -> PromptedChatModel:
    return PromptedChatModel(llm=ScriptedLLM(["Hello."] * answers))


async def collected(parts: Any) -> list[Any]:
    return [part async for part in parts]


RUNS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "invoke": lambda graph, turn, config: graph.invoke(turn, config),
    "ainvoke": lambda graph, turn, config: asyncio.run(graph.ainvoke(turn, config)),
    "stream": lambda graph, turn, config: list(graph.stream(turn, config)),
    "astream": lambda graph, turn, config: asyncio.run(collected(graph.astream(turn, config))),
    "messages": lambda graph, turn, config: list(graph.stream(turn, config, stream_mode="messages")),
}
STATES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "get_state": lambda graph, _, config: graph.get_state(config),
    "aget_state": lambda graph, _, config: asyncio.run(graph.aget_state(config)),
    "history": lambda graph, _, config: list(graph.get_state_history(config)),
    "ahistory": lambda graph, _, config: asyncio.run(collected(graph.aget_state_history(config))),
    "update_state": lambda graph, turn, config: graph.update_state(config, turn),
    "aupdate_state": lambda graph, turn, config: asyncio.run(graph.aupdate_state(config, turn)),
}


def refusal(use: Callable[[], Any]) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        use()
    assert type(caught.value) is ValueError
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("run", [*RUNS.values(), *STATES.values()], ids=[*RUNS, *STATES])
@pytest.mark.parametrize(
    ("config", "problem", "name"),
    [
        ({}, "the configuration names no thread", "NAME"),
        ({"configurable": {}}, "the configuration names no thread", "NAME"),
        ({"configurable": {"thread_id": None}}, "the configuration names no thread", "NAME"),
        ({"thread_id": "ada"}, "it stands outside of 'configurable'", "ada"),
        ({"configurable": {"threadid": "ada"}}, "the configuration has 'threadid' instead", "ada"),
        ({"configurable": {"thread-id": "ada\n"}}, "the configuration has 'thread-id' instead", "NAME"),
        ("ada", "the configuration is a dict, not str", "ada"),
    ],
)
def test_a_run_without_a_thread_is_told_which_configuration_to_pass(
    run: Callable[[Any, Any, Any], Any], config: Any, problem: str, name: str
) -> None:
    written = f'{{"configurable": {{"thread_id": "{name}"}}}}'
    message = refusal(lambda: run(conversation(chat()), TURN, config))
    assert message.startswith(f"thread_id: {problem}")
    assert f"The configuration to pass is {written}, as in graph.invoke(input, configuration)" in message


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_a_run_without_any_configuration_is_told_so_too(run: Callable[[Any, Any, Any], Any]) -> None:
    assert refusal(lambda: run(conversation(chat()), TURN, None)).startswith("thread_id: the configuration names no")
    assert run(conversation(chat(), checkpointer=False), TURN, None)


def test_a_thread_as_a_keyword_is_told_where_it_belongs() -> None:
    message = refusal(lambda: conversation(chat()).invoke(TURN, thread_id="ada"))
    assert '{"configurable": {"thread_id": "ada"}}' in message


def test_a_configuration_may_be_bound_to_the_graph() -> None:
    graph: Any = conversation(chat()).with_config(configurable={"thread_id": "ada"})
    graph.invoke(TURN)
    assert len(graph.get_state({"configurable": {}}).values["messages"]) == 2


class PydanticState(BaseModel):
    """The state of a graph as a pydantic class."""

    messages: Annotated[list[AnyMessage], add_messages]


@pytest.mark.parametrize("state", [MessagesState, PydanticState])
@pytest.mark.parametrize("parent_saves", [True, False])
def test_a_conversation_inside_another_graph_has_the_thread_of_that_graph(parent_saves: bool, state: Any) -> None:
    parent: Any = StateGraph(state)
    parent.add_node("talk", conversation(chat()))
    parent.add_edge(START, "talk")
    parent.add_edge("talk", END)
    graph = parent.compile(checkpointer=InMemorySaver() if parent_saves else None)
    assert graph.invoke(TURN, ADA if parent_saves else None)["messages"][-1].text == "Hello."


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ({"message": "Hi"}, "input: it has no 'messages'; it has 'message'. Did you mean 'messages'? Give {"),
        ({"question": "Hi"}, "input: it has no 'messages'. Give {"),
        ({}, "input: it has no 'messages'. Give {"),
        ("Hi", "input: str is not the input of a turn; give {"),
        ([("human", "Hi")], "input: list is not the input of a turn; give {"),
        (HumanMessage("Hi"), "input: HumanMessage is not the input of a turn; give {"),
        ({"messages": []}, "messages: the list is empty; give at least one message, as in {"),
        ({"messages": None}, "messages: the list is empty; give at least one message, as in {"),
        ({"messages": [("hooman", "Hi")]}, "messages[0]: Unexpected message type: 'hooman'. Use one of 'human', "),
        ({"messages": [("human", "Hi"), 3]}, "messages[1]: int is not a message; give a LangChain message, a dict or"),
        ({"messages": [("ai", "Hi")]}, "messages: they end with an answer, so nothing is left to answer"),
        (None, "input: None continues a stopped turn, and the thread has none; give {"),
    ],
)
def test_a_wrong_input_is_told_what_to_write(run: Callable[[Any, Any, Any], Any], turn: Any, message: str) -> None:
    graph = conversation(chat())
    assert refusal(lambda: run(graph, turn, ADA)).startswith(message)
    assert run(graph, TURN, ADA)  # and the thread is as it was


@pytest.mark.parametrize(
    "turn",
    [
        {"messages": "Hi"},
        {"messages": ("human", "Hi")},
        {"messages": HumanMessage("Hi")},
        {"messages": {"role": "user", "content": "Hi"}},
        {"messages": [["human", "Hi"]]},
        {"messages": ["Hi"], "beside": 1},
        Command(update={"messages": [("human", "Hi")]}),
    ],
)
def test_every_form_of_messages_that_langchain_reads_is_a_turn(turn: Any) -> None:
    graph = conversation(chat())
    assert graph.invoke(turn, ADA)["messages"][-1].text == "Hello."


@pytest.mark.parametrize(
    "chain", [llama2_chatbot.chain, lambda model: llama2_assistant.chain(model, takes_orders=False)]
)
def test_the_agents_are_told_the_same(chain: Callable[..., Any]) -> None:
    graph = chain(chat())
    for run in RUNS.values():
        assert "did you mean 'messages'" in refusal(lambda run=run: run(graph, {"message": "Hi"}, ADA)).lower()  # type: ignore[misc]
        assert refusal(lambda run=run: run(graph, TURN, "ada")).startswith("thread_id: ")  # type: ignore[misc]
        assert refusal(lambda run=run: run(graph, TURN, None)).startswith("thread_id: ")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"system": SystemMessage("x")}, "system: SystemMessage is not text; give a string"),
        ({"history_tokens": "5"}, "history_tokens: '5' leaves no room for a turn; give 1 or more"),
        ({"checkpointer": "talks.sqlite"}, "checkpointer: str stores no threads; give open_store(FILE)"),
        ({"checkpointer": True}, "checkpointer: bool stores no threads"),
    ],
)
def test_a_wrong_argument_of_conversation_is_named(given: dict[str, Any], message: str) -> None:
    assert refusal(lambda: conversation(chat(), **given)).startswith(message)


def test_options_of_a_model_are_not_given_with_a_question_or_a_prompt() -> None:
    solve = chain_of_thought(ScriptedLLM(["1"]), strategy="direct")
    assert refusal(lambda: solve.invoke({"question": "1?"}, strategy="few-shot")) == (
        "strategy: it is not given with a question; give it to chain_of_thought"
    )
    assert refusal(lambda: solve.invoke({"question": "1?"}, temperature=0.5)).endswith("give it to the model")
    complete = code_completion(ScriptedLLM(["1"]))
    assert refusal(lambda: complete.invoke("def", temperature=0.5)) == (
        "temperature: it is not given with a prompt; give it to code_completion"
    )


class Fragile(ScriptedLLM):
    """Answers every prompt but those with `broken`."""

    def next_answer(self, prompt: str) -> str:
        if "broken" in prompt:
            raise errors.ModelFailed("fragile", "it broke.")
        return "The answer is 3."


def kinds(results: list[Any]) -> list[type]:
    return [type(each) if isinstance(each, Exception) else dict for each in results]


EXPECTED = [dict, errors.ModelFailed, dict, ValueError, dict]


async def test_one_failing_conversation_of_a_batch_does_not_lose_the_others() -> None:
    turns: list[Any] = [{"messages": [("human", text)]} for text in ("a", "broken", "b")]
    turns += [{"message": "Hi"}, {"messages": [("human", "c")]}]
    configs: list[Any] = [{"configurable": {"thread_id": str(number)}} for number in range(len(turns))]
    graph = conversation(Fragile())
    assert kinds(graph.batch(turns, configs, return_exceptions=True)) == EXPECTED
    assert kinds(await graph.abatch(turns, configs, return_exceptions=True)) == EXPECTED
    completed = sorted(graph.batch_as_completed(turns, configs, return_exceptions=True), key=lambda each: each[0])
    assert kinds([result for _, result in completed]) == EXPECTED
    assert [len(graph.get_state(each).values.get("messages", ())) for each in configs] == [6, 0, 6, 0, 6]


async def test_one_failing_question_of_a_batch_does_not_lose_the_others() -> None:
    questions: list[Any] = [{"question": text} for text in ("a?", "broken?", "b?", " ", "c?")]
    for model in (Fragile(), PromptedChatModel(llm=Fragile())):
        solve = chain_of_thought(model, strategy="few-shot-cot")
        results = [
            solve.batch(questions, return_exceptions=True),
            await solve.abatch(questions, return_exceptions=True),
        ]
        for result in results:
            assert kinds(result) == EXPECTED
            assert [each.answer for each in result if not isinstance(each, Exception)] == ["3", "3", "3"]
        complete = code_completion(model)
        prompts = ["a", "broken", "b", "", "c"]
        assert kinds(complete.batch(prompts, return_exceptions=True)) == EXPECTED
        assert kinds(await complete.abatch(prompts, return_exceptions=True)) == EXPECTED
