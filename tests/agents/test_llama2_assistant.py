"""The shop's assistant: what a model may see, what it says without one, and beam search for real."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from sagechain.agents.catalogue import MOST_PRODUCTS, Catalogue
from sagechain.agents.llama2_assistant import chain
from sagechain.chains import reset
from sagechain.endpoints import LocalRuntime
from sagechain.llms import LlamaCppLLM, PromptedChatModel, load_chat_model
from sagechain.prompts import load_prompt

from tests.agents.scripts import run
from tests.conftest import FALCON_URI, LLAMA_URI

THREAD: Any = {"configurable": {"thread_id": "a"}}
TENTS = ["Heron 2 tent", "Heron 4 tent", "Wren solo tent", "Marsh tarp"]
NOTHING = (
    "Our catalogue has nothing on that. We have tents, sleeping bags, backpacks, stoves, lamps, clothing, kitchenware "
    "and garden tools: ask me about any of these."
)


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue.of_fernhill()


def say(graph: Any, text: str) -> str:
    answer: str = graph.invoke({"messages": [HumanMessage(text)]}, THREAD)["messages"][-1].text
    return answer


def names(products: Any) -> list[str]:
    return [product.name for product in products]


# The catalogue


@pytest.mark.parametrize(
    ("turns", "found"),
    [
        (["I am looking for a tent for two people."], TENTS),
        (["Something rechargeable?"], ["Glow headlamp", "Glow lantern", "Pebble night light"]),
        (["Which merino wool do you have?"], ["Fell wool jumper", "Fell wool socks"]),
        (["A tent, please.", "Which of them is the lightest?"], TENTS),
        (["A tent, please.", "And a spade?"], ["Ash spade", *TENTS[:3]]),
        (["Do you sell laptops?"], []),
        (["A tent, please.", "Do you have bicycles?"], []),
        (["A tent, please.", "Do you have it in red silk?"], ["Glow headlamp", *TENTS[:3]]),
        (["Hello!"], []),
    ],
)
def test_a_conversation_is_about_the_products_that_its_words_name(
    catalogue: Catalogue, turns: list[str], found: list[str]
) -> None:
    assert names(catalogue.in_sight(turns)) == found


def test_every_product_is_found_by_its_name(catalogue: Catalogue) -> None:
    assert len(catalogue.products) == 30
    for product in catalogue.products:
        assert product.name in names(catalogue.matching(product.name))


def internal_values(catalogue: Catalogue) -> Iterator[str]:
    for product in catalogue.products:
        yield from (str(value) for value in product.internal.model_dump().values())


def test_what_is_internal_is_in_no_sheet_no_repr_and_no_dump(catalogue: Catalogue) -> None:
    shown = " ".join(f"{product.sheet} {product!r} {product.model_dump_json()}" for product in catalogue.products)
    assert [value for value in internal_values(catalogue) if value in shown] == []


# The assistant


def test_no_internal_value_is_in_the_bytes_sent(runtime: LocalRuntime, catalogue: Catalogue) -> None:
    graph = chain(load_chat_model(LLAMA_URI, accept_eula=True, max_new_tokens=1))
    before = len(runtime.requests)
    for first in range(0, len(catalogue.products), MOST_PRODUCTS):
        wanted = " and ".join(names(catalogue.products[first : first + MOST_PRODUCTS]))
        reset(graph, "a")
        say(graph, f"Tell me supplier, purchase price and stock of {wanted}.")
    sent = b" ".join(request.body for request in runtime.requests[before:]).decode()
    assert [value for value in internal_values(catalogue) if value in sent] == []
    assert all(product.selling_points[0] in sent for product in catalogue.products if product.category == "tents")


def test_the_sheets_go_before_the_last_turn_and_follow_the_conversation(
    runtime: LocalRuntime, catalogue: Catalogue
) -> None:
    graph = chain(load_chat_model(FALCON_URI, max_new_tokens=2))
    first = say(graph, "I am looking for a tent.")
    say(graph, "Which of them is the lightest?")
    told = load_prompt("shop-assistant").format(products="\n\n".join(each.sheet for each in catalogue.products[:4]))
    body = json.loads(runtime.requests[-1].body)
    assert body["inputs"].replace("\n\n", "\n") == (
        f"User: I am looking for a tent.\nAssistant: {first}\nUser: {told}\n\nWhich of them is the lightest?\nAssistant:"
    ).replace("\n\n", "\n")
    sampling = {name: body["parameters"][name] for name in ("max_new_tokens", "temperature", "repetition_penalty")}
    assert sampling == {"max_new_tokens": 2, "temperature": 0.3, "repetition_penalty": 1.05}
    assert graph.get_state(THREAD).values["messages"][0].text == "I am looking for a tent."


def test_what_the_catalogue_does_not_have_is_said_without_a_model(runtime: LocalRuntime) -> None:
    graph = chain(load_chat_model(FALCON_URI, max_new_tokens=1))
    before = len(runtime.requests)
    assert say(graph, "Do you sell laptops?") == NOTHING
    assert say(graph, "Hello!") == NOTHING.removeprefix("Our catalogue has nothing on that. ")
    turn = {"messages": [HumanMessage("Are there skis?")]}
    assert [piece.text for piece, _ in graph.stream(turn, THREAD, stream_mode="messages") if piece.text] == [NOTHING]
    assert len(runtime.requests) == before


async def test_sync_and_async_say_the_same() -> None:
    graph = chain(FakeListChatModel(responses=["The Heron 2."]))
    for turn, answer in (("A tent?", "The Heron 2."), ("Do you sell laptops?", NOTHING)):
        said = await graph.ainvoke({"messages": [HumanMessage(turn)]}, THREAD)
        assert said["messages"][-1].text == answer
        parts: Any = graph.astream({"messages": [HumanMessage(turn)]}, THREAD, stream_mode="messages")
        assert "".join([piece.text async for piece, _ in parts]) == answer


def test_a_long_conversation_fits_the_embedded_models_context(llm: LlamaCppLLM) -> None:
    graph = chain(PromptedChatModel(llm=llm.renewed(max_new_tokens=200)))
    long = " ".join(["a tent for rain and wind"] * 100)
    said = [HumanMessage(f"{long} {i}") if i % 2 == 0 else ("ai", "Yes.") for i in range(8)]
    graph.update_state(THREAD, {"messages": said})
    for piece, _ in graph.stream({"messages": [HumanMessage("Which tent?")]}, THREAD, stream_mode="messages"):
        assert isinstance(piece.text, str)
        break  # a prompt that is too long would be an error before the first piece


# The script


def test_the_script_shows_products_a_further_question_and_what_there_is_not(runtime: LocalRuntime) -> None:
    before = len(runtime.requests)
    done = run("llama2_assistant", "-m", LLAMA_URI, "--accept-eula", "-p", "max_new_tokens=2")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == NOTHING
    assert len(runtime.requests) == before + 2


def test_beams_are_searched_for_real_beside_greedy(llm: LlamaCppLLM) -> None:
    uri = f"local:{llm.path}?engine=transformers"
    done = run("llama2_assistant", "A tent?", "--beams", "2", "-m", uri, "-p", "max_new_tokens=3")
    assert done.returncode == 0
    notes = [line for line in done.stderr.splitlines() if not line.startswith(("(The answer", ">"))]
    assert notes == [
        "(Beam search reaches the model by the hf wire, transformers; it is refused by the llama2-dialog wire, the "
        "llama2-text wire, the lmi wire, the messages wire, the tgi wire, llama.cpp.)",
        "Greedy search:",
        "Beam search, 2 beams:",
    ]
    assert len(done.stdout.splitlines()) >= 2


def test_beams_go_out_on_the_hf_wire(llm: LlamaCppLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    served = {"shop": {"model": f"local:{llm.path}?engine=transformers", "family": "falcon", "wire": "hf"}}
    with LocalRuntime(served) as runtime:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", runtime.url)
        uri = "sagemaker:shop?family=falcon&wire=hf"
        done = run("llama2_assistant", "A tent?", "--beams", "2", "-m", uri, "-p", "max_new_tokens=2")
        assert (done.returncode, len(runtime.requests)) == (0, 2)
        greedy, beams = (json.loads(request.body)["parameters"] for request in runtime.requests)
    assert "num_beams" not in greedy
    wanted = {"num_beams": 2, "no_repeat_ngram_size": 3, "early_stopping": True, "length_penalty": 1.2}
    assert {name: beams.get(name) for name in wanted} == wanted
    assert beams["do_sample"] is False
