# pyright: strict, reportUnnecessaryTypeIgnoreComment=error
# LangGraph 1.2 writes `Command` without its parameter:
# pyright: reportUnknownMemberType=false
"""What type checkers know about the public functions; never run.

`make types` checks it with mypy: each `assert_type` has to hold, and each `type: ignore` has to be needed, so a misspelt
keyword, a wrong type and an unknown strategy are errors in editors too. pyright agrees (`test_pyright.py`).
"""

from pathlib import Path
from typing import Any, assert_type

from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.types import Command, StateSnapshot
from sagechain import chain_of_thought, code_completion, conversation, deploy, load_chat_model, load_llm
from sagechain.agents import falcon_chain_of_thought, llama2_chatbot
from sagechain.chains import Reasoning, Store, StrategyName, TaskName, list_strategies, open_store
from sagechain.chains.conversations import Conversation
from sagechain.endpoints import EndpointInfo, deployed
from sagechain.llms import GenerationParameters, ModelKeywords, PromptedChatModel, SageMakerLLM, TextModel

THREAD: RunnableConfig = {"configurable": {"thread_id": "ada"}}


def load() -> None:
    assert_type(load_llm(), TextModel)
    assert_type(load_llm("local:smollm2", temperature=0.2, max_tokens=9, stop="\n", context=512), TextModel)
    assert_type(load_chat_model(), PromptedChatModel)
    assert_type(
        load_chat_model("sagemaker:e?wire=messages", model="m", timeout=9, rate_limiter=None), PromptedChatModel
    )
    load_llm("local:smollm2", engine="transformers", stop=["a", "b"], max_retries=0, tags=["a"])
    load_llm(temprature=0.2)  # type: ignore[call-arg]
    load_llm(temperature="hot")  # type: ignore[arg-type]
    load_llm(engine="llama.cp")  # type: ignore[arg-type]
    load_llm(rate_limiter=None)  # type: ignore[call-arg]
    load_chat_model(max_token=3)  # type: ignore[call-arg]
    load_chat_model(timeout="9")  # type: ignore[arg-type]
    settings: ModelKeywords = {"temperature": 0.2, "top_k": 5}
    load_llm("local:smollm2", **settings)


def constructors(llm: BaseLLM) -> None:
    GenerationParameters(temperature=0, stop=["a"], max_tokens=3)
    GenerationParameters(temprature=0)  # type: ignore[call-arg]
    GenerationParameters(top_k=0.5)  # type: ignore[arg-type]
    PromptedChatModel(llm=llm, family="chatml", max_tokens=3, stop="\n", timeout=9, tags=["a"], name="mine")
    PromptedChatModel(family="chatml")  # type: ignore[call-arg]
    PromptedChatModel(llm=llm, max_token=3)  # type: ignore[call-arg]
    PromptedChatModel(llm="local:smollm2")  # type: ignore[arg-type]
    SageMakerLLM(endpoint_name="e", family="falcon", region_name="eu-west-1", accept_eula=True, stop="\n")
    SageMakerLLM(family="falcon")  # type: ignore[call-arg]
    SageMakerLLM(endpoint_name="e", famly="falcon")  # type: ignore[call-arg]
    SageMakerLLM(endpoint_name="e", on_unsupported="drop")  # type: ignore[arg-type]


def requests(llm: TextModel, chat: PromptedChatModel) -> None:
    assert_type(llm.invoke("Hi", temperature=0.2), str)
    assert_type(chat.invoke([("human", "Hi")]), AIMessage)
    assert_type(llm.batch(["a", "b"], return_exceptions=True), list[str])


def chains(llm: TextModel, chat: PromptedChatModel) -> None:
    assert_type(chain_of_thought(llm, strategy="few-shot-cot"), Runnable[dict[str, str], Reasoning])
    chain_of_thought(chat, strategy="direct", task="coin-flip")
    chain_of_thought(llm)  # type: ignore[call-arg]
    chain_of_thought(llm, strategy="few-shot-cto")  # type: ignore[arg-type]
    chain_of_thought(llm, strategy="direct", task="arithmatic")  # type: ignore[arg-type]
    for strategy in list_strategies():
        assert_type(strategy, StrategyName)
        chain_of_thought(llm, strategy=strategy)
    assert_type(code_completion(llm, until="line", candidates=3, temperature=0.8), Runnable[Any, str])
    code_completion(llm, until=["\n\n"], stop="x", max_tokens=9)
    code_completion(llm, temprature=0.8)  # type: ignore[call-arg]
    code_completion(llm, candidates="3")  # type: ignore[arg-type]


def conversations(chat: PromptedChatModel, store: Store) -> None:
    graph = conversation(chat, system="Be brief.", examples=[("Hi", "Hello.")], checkpointer=store)
    assert_type(graph, Conversation)
    graph.invoke({"messages": [("human", "Hi")]}, THREAD)
    graph.invoke({"messages": [HumanMessage("Hi"), ("ai", "Hello."), "And you?"]}, THREAD)
    graph.invoke({"messages": [{"role": "user", "content": "Hi"}]}, THREAD)
    graph.invoke({"messages": "Hi"}, THREAD)
    graph.invoke({"messages": HumanMessage("Hi")}, {"configurable": {"thread_id": "ada"}})
    graph.invoke(Command(resume=1), THREAD)
    graph.invoke(None, THREAD)
    graph.batch([{"messages": [("human", "Hi")]}], THREAD, return_exceptions=True)
    list(graph.stream({"messages": [("human", "Hi")]}, THREAD, stream_mode="messages"))
    assert_type(graph.get_state(THREAD), StateSnapshot)
    graph.invoke({"message": [("human", "Hi")]}, THREAD)  # type: ignore[call-overload]
    graph.invoke("Hi", THREAD)  # type: ignore[call-overload]
    graph.stream({"message": "Hi"}, THREAD)  # type: ignore[arg-type]
    conversation(chat, sytem="Be brief.")  # type: ignore[call-arg]
    conversation(chat, checkpointer="talks.sqlite")  # type: ignore[arg-type]


async def async_conversations(chat: PromptedChatModel) -> None:
    async with open_store(Path("talks.sqlite"), create=False) as store:
        assert_type(store, Store)
        graph = conversation(chat, checkpointer=store)
        await graph.ainvoke({"messages": [("human", "Hi")]}, THREAD)
        async for _ in graph.astream({"messages": [("human", "Hi")]}, THREAD):
            pass
    open_store("talks.sqlite", creat=True)  # type: ignore[call-arg]


def agents(llm: TextModel, store: Store, task: TaskName) -> None:
    llama2_chatbot.chain(llm, system="Be brief.", checkpointer=store).invoke({"messages": [("human", "Hi")]}, THREAD)
    falcon_chain_of_thought.chain(llm, task)
    falcon_chain_of_thought.chain(llm, "arithmatic")  # type: ignore[arg-type]
    llama2_chatbot.chain(llm, sytem="Be brief.")  # type: ignore[call-arg]


def endpoints() -> None:
    assert_type(deploy("e", model_id="falcon", ttl="2h"), EndpointInfo)
    deploy("e", model="falcon")  # type: ignore[call-arg]
    with deployed("e", model_id="falcon") as endpoint:
        assert_type(endpoint, EndpointInfo)
    deployed("e", modle_id="falcon")  # type: ignore[call-arg]
