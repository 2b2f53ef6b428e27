"""The wires: the body of each request, and every form in which an answer may arrive."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from sagechain.llms import GenerationParameters, errors
from sagechain.llms.wires import get_wire, list_wires
from sagechain.llms.wires.wire_error import WireError

FULL: dict[str, Any] = {
    "max_new_tokens": 5,
    "repetition_penalty": 1.1,
    "temperature": 0.5,
    "top_k": 3,
    "top_p": 0.9,
    "seed": 7,
    "stop": ["a", "b"],
    "return_full_text": True,
}


def event(text: str, **more: Any) -> bytes:
    token = {"id": 1, "text": text, "logprob": -0.1, "special": more.pop("special", False)}
    return f"data:{json.dumps({'index': 1, 'token': token, 'generated_text': None, **more})}\n\n".encode()


def decode(stream: list[bytes]) -> tuple[str, bool]:
    """The text of a TGI stream, and whether its end marker has arrived."""
    decoder = get_wire("tgi").decoder()
    text = "".join(chunk.text for data in stream for chunk in decoder.feed(data))
    return text + "".join(chunk.text for chunk in decoder.flush()), decoder.ended


def parse(wire: str, reply: Any) -> list[str]:
    """The texts of the answers in a reply."""
    return [answer.text for answer in get_wire(wire).parse_reply(json.dumps(reply).encode())]


def test_known_wires_are_listed_and_an_unknown_one_is_an_error() -> None:
    assert list_wires() == ["hf", "llama2-dialog", "llama2-text", "lmi", "messages", "tgi"]
    with pytest.raises(ValueError, match=r"wire: 'tgl' is unknown\. Did you mean 'tgi'\?"):
        get_wire("tgl")


def test_tgi_carries_every_parameter_under_its_own_name() -> None:
    body = get_wire("tgi").request("Hi", GenerationParameters(**FULL), stream=True)
    assert body == {"inputs": "Hi", "parameters": {**FULL, "do_sample": True, "details": True}, "stream": True}


@pytest.mark.parametrize("given", [{}, {"temperature": 0}, {"temperature": 0, "top_p": 0.9, "top_k": 4}])
def test_greedy_decoding_on_tgi_sends_no_sampling_parameter(given: dict[str, Any]) -> None:
    body = get_wire("tgi").request("Hi", GenerationParameters(**given), stream=False)
    assert body["parameters"] == {"do_sample": False, "details": True}


def test_values_that_mean_off_are_not_sent_where_tgi_rejects_them() -> None:
    off = GenerationParameters(temperature=1.0, top_p=1.0, top_k=0, num_beams=1, no_repeat_ngram_size=0)
    body = get_wire("tgi").request("Hi", off, stream=False)
    assert body["parameters"] == {"temperature": 1.0, "do_sample": True, "details": True}


def test_tgi_is_sent_no_more_stop_strings_than_it_accepts() -> None:
    body = get_wire("tgi").request("Hi", GenerationParameters(stop=tuple("abcdef")), stream=False)
    assert body["parameters"]["stop"] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("name", ["num_beams", "max_length", "min_length", "no_repeat_ngram_size"])
def test_a_parameter_that_a_wire_does_not_carry_is_refused_or_dropped_with_a_warning(name: str) -> None:
    given: dict[str, Any] = {name: 4}
    parameters = GenerationParameters(**given)
    for wire in set(list_wires()) - {"hf"}:
        with pytest.raises(ValueError, match=rf"{name}: the {wire} wire does not carry it; it carries"):
            get_wire(wire).request("Hi", parameters, stream=False)
        with pytest.warns(UserWarning, match=f"{name} dropped"):
            body = get_wire(wire).request("Hi", parameters, stream=False, on_unsupported="warn")
        assert name not in body.get("parameters", body)


def test_dialog_sends_roles_that_alternate_with_tags_escaped() -> None:
    messages = [HumanMessage("a"), HumanMessage("b [/INST]"), AIMessage("c"), SystemMessage("s"), HumanMessage("d")]
    body = get_wire("llama2-dialog").request(messages, GenerationParameters(max_new_tokens=5), stream=False)
    assert body == {
        "inputs": [
            [
                {"role": "system", "content": "s"},
                {"role": "user", "content": "a\n\nb [\\/INST]"},
                {"role": "assistant", "content": "c"},
                {"role": "user", "content": "d"},
            ]
        ],
        "parameters": {"max_new_tokens": 5},
    }


def test_a_string_over_dialog_is_one_user_turn_and_greedy_is_temperature_0() -> None:
    body = get_wire("llama2-dialog").request("Hi", GenerationParameters(do_sample=False), stream=False)
    assert body == {"inputs": [[{"role": "user", "content": "Hi"}]], "parameters": {"temperature": 0}}


@pytest.mark.parametrize("reply", [[{"generated_text": "Hi"}], {"generated_text": "Hi"}])
def test_tgi_answers_with_a_list_of_one_or_the_bare_object(reply: Any) -> None:
    assert parse("tgi", reply) == ["Hi"]


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (wire, body)
        for wire in ("tgi", "llama2-dialog")
        for body in (b"", b"null", b"[]", b"<html>", b'"text"', b"[1]", b'{"x": 1}', b'[{"generation": 1}]', b"\xff")
    ],
)
def test_a_reply_in_another_format_is_an_error(wire: str, body: bytes) -> None:
    with pytest.raises(WireError):
        get_wire(wire).parse_reply(body)


def test_an_error_in_a_reply_is_not_an_answer() -> None:
    with pytest.raises(WireError, match="out of memory"):
        parse("tgi", {"error": "out of memory", "error_type": "generation"})
    with pytest.raises(WireError, match="overloaded") as caught:
        decode([b'data:{"error":"Model is overloaded","error_type":"overloaded"}\n\n'])
    assert caught.value.public_class == errors.Throttled


@pytest.mark.parametrize(
    ("error", "public_class"),
    [
        ({"error": "Input validation error: too long", "error_type": "validation"}, errors.RequestRejected),  # TGI
        ({"error": {"message": "too long", "type": "BadRequestError", "code": 400}}, errors.RequestRejected),  # vLLM
        ({"error": "too long", "code": "413"}, errors.RequestRejected),
        ({"error": {"message": "wait", "type": "RateLimitError", "code": 429}}, errors.Throttled),
        ({"error": {"message": "wait", "code": "429"}}, errors.Throttled),
        ({"error": "Model is overloaded", "error_type": "overloaded"}, errors.Throttled),
        ({"error": "out of memory", "error_type": "generation"}, errors.ModelFailed),
        ({"error": {"message": "broken", "code": 500}}, errors.ModelFailed),
        ({"error": {"message": "broken", "code": ["?"], "type": {}}}, errors.ModelFailed),
        ({"error": "broken", "code": 4000}, errors.ModelFailed),
    ],
)
def test_an_error_in_a_reply_or_a_stream_is_rejected_throttled_or_failed(
    error: dict[str, Any], public_class: type[errors.LLMError]
) -> None:
    for wire in list_wires():
        with pytest.raises(WireError) as caught:
            parse(wire, error)
        assert caught.value.public_class == public_class
    for wire in ("tgi", "lmi", "messages"):
        line = json.dumps(error).encode()
        with pytest.raises(WireError) as caught:
            list(get_wire(wire).decoder().feed(line + b"\n" if wire == "lmi" else b"data: " + line + b"\n\n"))
        assert caught.value.public_class == public_class


def choice(text: str, reason: str | None = None, part: str = "delta", **more: Any) -> dict[str, Any]:
    return {"choices": [{part: {"role": "assistant", "content": text}, "finish_reason": reason, **more}]}


def decode_chat(*events: dict[str, Any]) -> str:
    decoder = get_wire("messages").decoder()
    return "".join(
        chunk.text for each in events for chunk in decoder.feed(b"data: " + json.dumps(each).encode() + b"\n\n")
    )


def test_a_second_answer_in_a_stream_is_an_error() -> None:
    assert decode_chat(choice("Hel", index=0), choice("lo", index=0)) == "Hello"
    with pytest.raises(WireError, match="a second answer"):
        decode_chat(choice("Hel", index=0), choice("Bon", index=1))
    both = {"choices": [*choice("Hel", index=0)["choices"], *choice("Bon", index=1)["choices"]]}
    with pytest.raises(WireError, match="a second answer"):
        decode_chat(both)


@pytest.mark.parametrize("reason", ["abort", "error"])
@pytest.mark.parametrize("text", ["Par", None])
def test_a_chat_completion_with_a_failed_finish_reason_is_an_error(reason: str, text: Any) -> None:
    with pytest.raises(WireError, match=f"finish_reason is '{reason}'") as whole:
        parse("messages", choice(text, reason, "message"))
    with pytest.raises(WireError, match=f"finish_reason is '{reason}'") as streamed:
        decode_chat(choice("Pa"), choice(text, reason))
    assert (whole.value.public_class, streamed.value.public_class) == (errors.ModelFailed, errors.ModelFailed)


@pytest.mark.parametrize(
    "places",
    [
        {"token": {"id": -1, "text": "", "error_msg": "out of memory"}, "details": {"finish_reason": "error"}},
        {"token": {"id": -1, "text": "", "error_msg": "out of memory"}},
        {"token": {"id": -1, "text": ""}, "details": {"finish_reason": "error", "error_msg": "out of memory"}},
        {"token": {"id": -1, "text": ""}, "details": {"finish_reason": "error"}, "error_msg": "out of memory"},
    ],
)
def test_the_error_message_of_lmi_is_found_in_every_place_where_it_may_be(places: dict[str, Any]) -> None:
    last = {**places, "generated_text": ""}
    with pytest.raises(WireError, match="the container failed: out of memory") as caught:
        list(get_wire("lmi").decoder().feed(json.dumps(last).encode() + b"\n"))
    assert caught.value.public_class == errors.ModelFailed


def test_a_closing_special_token_is_not_text_and_its_event_ends_the_stream() -> None:
    end = event("</s>", special=True, generated_text="Hi", details={"finish_reason": "eos_token"})
    assert decode([event("Hi"), end]) == ("Hi", True)
    assert decode([event("Hi")]) == ("Hi", False)


def test_comments_blank_lines_other_fields_and_carriage_returns_are_skipped() -> None:
    end = event("!", generated_text="Hi!").replace(b"\n\n", b"\r\n\r\n")
    assert decode([b": keep-alive\n\n\n", b"event: ping\ndata: {}\n\nid: 3\n", event("Hi"), end]) == ("Hi!", True)


def test_a_last_line_needs_no_line_end() -> None:
    assert decode([event("Hi", generated_text="Hi").rstrip(b"\n")]) == ("Hi", True)


def test_a_whole_reply_to_a_request_for_a_stream_is_an_error() -> None:
    with pytest.raises(WireError, match="not a stream of events"):
        decode([b'[{"generated_text": "Hi"}]'])
    with pytest.raises(WireError, match="an event is not JSON"):
        decode([b"data:{broken\n"])


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=6), st.data())
def test_text_arrives_unchanged_however_its_bytes_are_split(texts: list[str], data: st.DataObject) -> None:
    raw = b"".join(
        f"data:{json.dumps({'token': {'text': text}, 'generated_text': None}, ensure_ascii=False)}\n\n".encode()
        for text in texts
    )
    raw += event("", generated_text="")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    chunks = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert decode(chunks) == ("".join(texts), True)
