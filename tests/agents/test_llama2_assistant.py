"""The shop's assistant: what its model sees, what is answered without a model, long threads, and the script."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk
from pydantic import Field
from sagechain.agents.llama2_assistant import chain
from sagechain.agents.shop.catalogue import load_products
from sagechain.agents.shop.conversation import waiting_orders
from sagechain.agents.shop.database import MAX_PRODUCTS, ShopDatabase
from sagechain.chains import open_store, reset
from sagechain.llms import LlamaCppLLM, PromptedChatModel, load_chat_model
from sagechain.llms.testing import ScriptedLLM
from sagechain.local_aws import LocalRuntime
from sagechain.prompts import load_prompt

from tests.agents.ordering import THREAD, decide, send, turn
from tests.agents.scripted_chat import ScriptedChat, calls, says
from tests.agents.scripts import run
from tests.agents.test_shop import internal_values
from tests.conftest import FALCON, FALCON_URI, LLAMA, LLAMA_URI
from tests.scripted_server import ScriptedServer

CATEGORIES = (
    "We have tents, sleeping bags, backpacks, stoves, lamps, clothing, kitchenware and garden tools: "
    "ask me about any of these."
)
NOT_SOLD = f"I don't know: our catalogue has nothing on that. {CATEGORIES}"


def stream(graph: Any, input: Any) -> list[str]:
    """The text of the answer's chunks."""
    parts = graph.stream(input, THREAD, stream_mode="messages")
    return [chunk.text for chunk, _ in parts if isinstance(chunk, AIMessage) and chunk.text]


@pytest.fixture
def endpoints(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """Both endpoints, without a model behind them, for tests of requests: a real model needs seconds to read a prompt."""
    event = {"token": {"id": 1, "text": "Well.", "special": False}, "generated_text": "Well."}
    event["details"] = {"finish_reason": "length", "generated_tokens": 1}
    with ScriptedServer().running() as server:
        server.replies = {
            LLAMA: [b'[{"generation": {"role": "assistant", "content": "Well."}}]'],
            FALCON: [f"data:{json.dumps(event)}\n\n".encode()],
        }
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", server.url)
        yield server


# What the model sees


def test_no_internal_value_is_in_the_bytes_sent(endpoints: ScriptedServer, shop: ShopDatabase) -> None:
    graph = chain(load_chat_model(LLAMA_URI, accept_eula=True, max_new_tokens=1), database=shop)
    for first in range(0, len(shop.products), MAX_PRODUCTS):
        names = " and ".join(product.name for product in shop.products[first : first + MAX_PRODUCTS])
        reset(graph, "a")
        send(graph, f"Tell me supplier, purchase price and stock of {names}.")
    sent = b" ".join(endpoints.requests).decode()
    assert [value for value in internal_values() if value in sent] == []
    assert all(product.selling_points[0] in sent for product in shop.products if product.category == "tents")


def test_no_internal_value_is_in_the_results_of_tools(shop: ShopDatabase) -> None:
    secrets = list(internal_values())
    for product in load_products():
        query = f"{product.name} {product.internal.supplier} {product.internal.id}"
        tool_calls = [
            calls("product_details", name=product.name),
            calls("check_stock", name=product.name),
            calls("search_catalogue", query=query),
            calls("place_order", name=product.name, quantity=1),
            calls("order_status", order_number=1001),
        ]
        model = ScriptedChat(script=[message for call in tool_calls for message in (call, says("Well."))])
        graph = chain(model, database=shop)
        for number, call in enumerate(tool_calls):
            thread: Any = {"configurable": {"thread_id": str(number)}}
            graph.invoke(turn(f"Order {product.name}: supplier? cost? internal id?"), thread)
            if waiting_orders(graph.get_state(thread)):
                graph.invoke(decide(graph, "approve", thread=thread), thread)
            # The second message is the model's own call.
            seen = repr([(messages[:1] + messages[2:], tools) for messages, tools in model.calls[2 * number :]])
            assert [value for value in secrets if value in seen] == [], call
        assert len(model.calls) == 2 * len(tool_calls)


def test_product_sheets_precede_the_last_turn(endpoints: ScriptedServer, shop: ShopDatabase) -> None:
    graph = chain(load_chat_model(FALCON_URI, max_new_tokens=2), database=shop, takes_orders=False)
    for text in ("I am looking for a tent.", "Which of them is the lightest?"):
        assert stream(graph, turn(text)) == ["Well."]
    prompt = load_prompt("shop-assistant").format(products="\n\n".join(each.sheet for each in shop.products[:4]))
    body = json.loads(endpoints.requests[-1])
    assert body["inputs"].replace("\n\n", "\n") == (
        f"User: I am looking for a tent.\nAssistant: Well.\nUser: {prompt}\n\nWhich of them is the lightest?\nAssistant:"
    ).replace("\n\n", "\n")
    sampling = {name: body["parameters"][name] for name in ("max_new_tokens", "temperature", "repetition_penalty")}
    assert sampling == {"max_new_tokens": 2, "temperature": 0.3, "repetition_penalty": 1.1}
    assert graph.get_state(THREAD).values["messages"][0].text == "I am looking for a tent."


# Long threads


def test_a_long_conversation_fits_the_embedded_models_context(llm: LlamaCppLLM, shop: ShopDatabase) -> None:
    graph = chain(PromptedChatModel(llm=llm.with_fields(max_new_tokens=200)), database=shop)
    long = " ".join(["a tent for rain and wind"] * 100)
    messages = [HumanMessage(f"{long} {i}") if i % 2 == 0 else ("ai", "Yes.") for i in range(8)]
    graph.update_state(THREAD, {"messages": messages})
    parts = graph.stream(turn("Which tent?"), THREAD, stream_mode="messages")
    chunk, _ = next(parts)  # a prompt that is too long would be an error before the first chunk
    assert isinstance(chunk.text, str)


def test_after_a_turn_that_was_too_long_the_conversation_continues(shop: ShopDatabase) -> None:
    model = PromptedChatModel(llm=ScriptedLLM(answers=["We have the Marsh tarp."], context=2_000))
    graph = chain(model, database=shop, takes_orders=False)
    with pytest.raises(ValueError, match="tokens too long"):
        send(graph, "a tent for rain " * 1_000)
    assert send(graph, "A tarp?") == "We have the Marsh tarp."


def test_a_thread_contains_a_limited_number_of_turns_and_the_transcript_all(shop: ShopDatabase, tmp_path: Path) -> None:
    turns = 83  # without a context the state contains at most 80 turns
    with open_store(tmp_path / "threads.sqlite") as store:
        graph = chain(ScriptedChat(script=[says("The Marsh tarp.")]), database=shop, checkpointer=store)
        for i in range(turns):
            send(graph, f"A tarp? {i}")
        messages = graph.get_state(THREAD).values["messages"]
        assert 40 < len(messages) / 2 < 80
        assert messages[-2].text == f"A tarp? {turns - 1}"
        assert [entry.message.text for entry in store.transcript("a")][::2] == [f"A tarp? {i}" for i in range(turns)]


class CountingChat(ScriptedChat):
    """Counts the chunks that it has generated."""

    chunks: list[str] = Field(default_factory=list)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for chunk in super()._stream(*args, **kwargs):
            self.chunks.append(chunk.text)
            yield chunk


def test_closing_a_stream_ends_the_generation(shop: ShopDatabase) -> None:
    model = CountingChat(script=[says("word " * 1_000)])
    parts = chain(model, database=shop).stream(turn("A tent?"), THREAD, stream_mode="messages")
    next(parts)
    parts.close()  # type: ignore[attr-defined]
    assert len(model.chunks) < 1_000


# Without a model


def test_a_turn_about_something_else_is_answered_without_a_model(shop: ShopDatabase) -> None:
    model = ScriptedChat(script=[says("Never generated.")])
    graph = chain(model, database=shop)
    assert send(graph, "Do you sell laptops?") == NOT_SOLD
    assert send(graph, "Hello!") == CATEGORIES
    assert "".join(stream(graph, turn("Are there skis?"))) == NOT_SOLD
    assert model.calls == []


async def test_sync_and_async_return_the_same_answers(shop: ShopDatabase) -> None:
    graph = chain(FakeListChatModel(responses=["The Heron 2."]), database=shop)
    for question, answer in (("A tent?", "The Heron 2."), ("Do you sell laptops?", NOT_SOLD)):
        assert send(graph, question) == answer
        assert "".join(stream(graph, turn(question))) == answer
        assert (await graph.ainvoke(turn(question), THREAD))["messages"][-1].text == answer
        parts: Any = graph.astream(turn(question), THREAD, stream_mode="messages")
        assert "".join([chunk.text async for chunk, _ in parts]) == answer


# The script


def test_the_script_shows_products_a_follow_up_and_what_is_not_sold(endpoints: ScriptedServer) -> None:
    done = run("llama2_assistant", "-m", LLAMA_URI, "--accept-eula", "-p", "max_new_tokens=2")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, NOT_SOLD), done.stderr
    assert len(endpoints.requests) == 2


def test_a_conversation_continues_in_another_process(endpoints: ScriptedServer) -> None:
    for text in ("A tent with two doors?", "Which of them is the lightest?"):
        done = run("llama2_assistant", text, "-m", FALCON_URI, "-p", "max_new_tokens=1", "--thread", "ada")
        assert done.returncode == 0, done.stderr
    assert [b"two doors?" in body for body in endpoints.requests] == [True, True]


def test_approving_needs_a_thread_with_an_order_that_waits(runtime: LocalRuntime) -> None:
    done = run("llama2_assistant", "--approve", "-m", FALCON_URI)
    assert (done.returncode, "need --thread NAME" in done.stderr) == (2, True)
    done = run("llama2_assistant", "--reject", "-m", FALCON_URI, "--thread", "ada")
    assert (done.returncode, "no order waits in thread 'ada'" in done.stderr) == (2, True)


def test_beam_search_and_greedy_search_answer_the_same_question(llm: LlamaCppLLM) -> None:
    uri = f"local:{llm.path}?engine=transformers"
    done = run("llama2_assistant", "A tent?", "--beams", "2", "-m", uri, "-p", "max_new_tokens=3")
    assert done.returncode == 0, done.stderr
    notes = [line for line in done.stderr.splitlines() if not line.startswith(("(The answer", ">"))]
    assert notes == [
        "(Beam search is available over the hf wire, transformers, and not over the llama2-dialog wire, the "
        "llama2-text wire, the lmi wire, the messages wire, the tgi wire, llama.cpp.)",
        "Greedy search:",
        "Beam search, 2 beams:",
    ]
    assert len(done.stdout.splitlines()) >= 2


def test_the_hf_wire_carries_the_beams(llm: LlamaCppLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"shop": {"model": f"local:{llm.path}?engine=transformers", "family": "falcon", "wire": "hf"}}
    with LocalRuntime(models) as runtime:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", runtime.url)
        uri = "sagemaker:shop?family=falcon&wire=hf"
        done = run("llama2_assistant", "A tent?", "--beams", "2", "-m", uri, "-p", "max_new_tokens=2")
        assert (done.returncode, len(runtime.requests)) == (0, 2)
        greedy, beams = (json.loads(request.body)["parameters"] for request in runtime.requests)
    assert "num_beams" not in greedy
    expected = {"num_beams": 2, "no_repeat_ngram_size": 3, "early_stopping": True, "length_penalty": 1.2}
    assert {name: beams.get(name) for name in expected} == expected
    assert beams["do_sample"] is False
