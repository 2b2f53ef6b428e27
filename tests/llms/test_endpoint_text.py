"""A program gets the text that the server sent: over every wire, however it is split, up to the first stop string."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sagechain.llms import SageMakerLLM, errors
from sagechain.llms.wires import get_wire, list_wires

from tests.scripted_server import ScriptedServer, split

WAYS = ("invoke", "stream", "ainvoke", "astream")


def dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def streamed(wire: str, tokens: list[str], reason: str = "stop", **more: Any) -> bytes:
    """A stream of these tokens, as the wire's containers send it; `more` is added to each event of messages."""
    text, details = "".join(tokens), {"finish_reason": "eos_token", "generated_tokens": len(tokens)}
    if wire == "messages":
        events: list[Any] = [
            {"choices": [{"delta": {"content": token}, "finish_reason": None}], **more} for token in tokens
        ]
        end: Any = {"choices": [{"delta": {}, "finish_reason": reason}], **more}
        return b"".join(b"data: " + dumped(event) + b"\n\n" for event in [*events, end]) + b"data: [DONE]\n\n"
    events = [{"token": {"id": 1, "text": token}, "generated_text": None} for token in tokens]
    end = {"token": {"id": 2, "text": "</s>", "special": True}, "generated_text": text, "details": details}
    start, finish = (b"data:", b"\n\n") if wire == "tgi" else (b"", b"\n")
    return b"".join(start + dumped(event) + finish for event in [*events, end])


def whole(wire: str, text: str) -> bytes:
    """A whole reply of this text."""
    replies: dict[str, Any] = {
        "tgi": [{"generated_text": text}],
        "lmi": {"generated_text": text},
        "hf": [{"generated_text": text}],
        "llama2-text": [{"generation": text}],
        "llama2-dialog": [{"generation": {"role": "assistant", "content": text}}],
        "messages": {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]},
    }
    return dumped(replies[wire])


def answer(llm: SageMakerLLM, way: str, **changes: Any) -> str:
    async def asynchronous() -> str:
        if way == "ainvoke":
            return await llm.ainvoke("Hi", **changes)
        return "".join([chunk async for chunk in llm.astream("Hi", **changes)])

    if way == "invoke":
        return llm.invoke("Hi", **changes)
    return "".join(llm.stream("Hi", **changes)) if way == "stream" else asyncio.run(asynchronous())


@pytest.mark.parametrize("wire", list_wires())
def test_all_text_arrives_unchanged_under_any_splitting(server: ScriptedServer, wire: str) -> None:
    llm = SageMakerLLM(endpoint_name=wire, wire=wire, accept_eula=True)

    @given(st.lists(st.text(max_size=8), min_size=1, max_size=6), st.lists(st.integers(0, 2000), max_size=12))
    def check(tokens: list[str], cuts: list[int]) -> None:
        text = "".join(tokens)
        if get_wire(wire).streams:
            server.replies[wire] = split(streamed(wire, tokens), cuts)
            assert "".join(llm.stream("Hi")) == text
        server.replies[wire] = split(whole(wire, text), cuts)
        assert llm.invoke("Hi") == text

    check()


# (the tokens of an answer, the stop strings, the text that remains)
STOPS = [
    pytest.param(["Paris", ".", " It", " is"], ["."], "Paris", id="a full stop is not a pattern"),
    pytest.param(["f(x", ")", " = 1"], ["("], "f", id="an open bracket"),
    pytest.param(["a|b", "c"], ["|b"], "a", id="a bar"),
    pytest.param(
        ["<|endof", "text|>", " more"], ["<|endoftext|>"], "", id="a special token over two chunks, at the beginning"
    ),
    pytest.param(
        ["1 < 2", " <|end", "oftext|>", "x"],
        ["<|endoftext|>"],
        "1 < 2 ",
        id="the beginning of a stop string alone does not stop",
    ),
    pytest.param(["Paris", "\n", "Us", "er", ":", " and"], ["\nUser:"], "Paris", id="split over four chunks"),
    pytest.param(
        ["Paris\nUs", "A is big"], ["\nUser:"], "Paris\nUsA is big", id="a beginning that continues differently"
    ),
    pytest.param(["ab", "abc", "abd"], ["abd"], "ababc", id="a beginning inside a beginning"),
    pytest.param(["a", "b", "c", "d"], ["bcd", "c"], "ab", id="of overlapping stops the one that is complete first"),
    pytest.param(["x", "abc"], ["bc", "abc"], "x", id="of two complete at once the one that began first"),
    pytest.param(["Größe", " 🙂", "🙂", " 日本"], ["🙂🙂"], "Größe ", id="pictures over two chunks"),
    pytest.param(["Größe ", "日", "本", "語"], ["日本"], "Größe ", id="non-ASCII over two chunks"),
    pytest.param(["a", "b"], [], "ab", id="none"),
    pytest.param(["one", " two", " three"], ["six", "three", "four", "five"], "one two ", id="one of several"),
    pytest.param(["\\d+ and ", "[a-z]*", "$^"], ["[a-z]*"], "\\d+ and ", id="a whole regular expression"),
    pytest.param(["one", "##", "#", " two"], ["#1", "#2", "#3", "#4", "###"], "one", id="a fifth, which is not sent"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("tokens", "stops", "remaining"), STOPS)
def test_the_answer_ends_at_the_first_stop_string(
    server: ScriptedServer, tokens: list[str], stops: list[str], remaining: str, way: str
) -> None:
    server.replies["stops"] = [streamed("tgi", tokens)] if "stream" in way else [whole("tgi", "".join(tokens))]
    llm = SageMakerLLM(endpoint_name="stops", wire="tgi", stop=["never to be seen"])
    assert answer(llm, way, stop=stops) == remaining
    assert json.loads(server.requests[-1])["parameters"].get("stop", []) == stops[:4]


def test_the_cut_is_the_same_for_chunks_of_any_size(server: ScriptedServer) -> None:
    llm = SageMakerLLM(endpoint_name="sizes", wire="tgi", stop=["</s>", "\nUser:"])
    for size in range(1, 8):
        text = "1 < 2</s\nUs\nUser: x</s>"
        server.replies["sizes"] = [streamed("tgi", [text[i : i + size] for i in range(0, len(text), size)])]
        assert "".join(llm.stream("Hi")) == "1 < 2</s\nUs"


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_stop_string_is_found_across_chunks_that_each_report_the_usage(server: ScriptedServer, way: str) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    server.replies["usage"] = [streamed("messages", ["Paris", ".\nUs", "er: and", " Rome?"], usage=usage)]
    llm = SageMakerLLM(endpoint_name="usage", wire="messages", stop=["\nUser:"])
    assert answer(llm, way) == "Paris."
    assert answer(llm, way, stop=["\nUser::"]) == "Paris.\nUser: and Rome?"


@pytest.mark.parametrize("reason", ["abort", "error"])
def test_a_generation_that_failed_on_the_server_is_never_an_answer(server: ScriptedServer, reason: str) -> None:
    llm = SageMakerLLM(endpoint_name="cut", wire="messages", max_retries=0)
    server.replies["cut"] = [
        dumped({"choices": [{"message": {"role": "assistant", "content": "Par"}, "finish_reason": reason}]})
    ]
    with pytest.raises(errors.ModelFailed, match=reason):
        llm.invoke("Hi")
    server.replies["cut"] = [streamed("messages", [], reason)]
    with pytest.raises(errors.ModelFailed, match=reason):
        list(llm.stream("Hi"))
    server.replies["cut"] = [streamed("messages", ["Par"], reason)]
    with pytest.raises(errors.StreamInterrupted, match=reason) as caught:
        list(llm.stream("Hi"))
    assert caught.value.partial_text == "Par"


def test_fewer_answers_than_requested_are_an_error(server: ScriptedServer) -> None:
    server.replies["few"] = [whole("hf", "one")]
    llm = SageMakerLLM(endpoint_name="few", wire="hf", num_return_sequences=2, num_beams=2)
    with pytest.raises(errors.MalformedResponse, match="1 of 2 answers"):
        llm.invoke("Hi")
    server.replies["few"] = [dumped([{"generated_text": "one"}, {"generated_text": "two"}])]
    assert [generation.text for generation in llm.generate(["Hi"]).generations[0]] == ["one", "two"]
