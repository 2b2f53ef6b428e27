"""The guide's table of wires states what each wire sends."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from sagechain.llms import GenerationParameters
from sagechain.llms.parameters import PARAMETER_NAMES
from sagechain.llms.wires import get_wire, list_wires

VALUES: dict[str, Any] = {
    "max_length": 64,
    "max_new_tokens": 8,
    "min_length": 4,
    "num_beams": 2,
    "early_stopping": True,
    "length_penalty": 0.5,
    "no_repeat_ngram_size": 3,
    "repetition_penalty": 1.2,
    "do_sample": True,
    "temperature": 0.5,
    "top_k": 5,
    "top_p": 0.5,
    "num_return_sequences": 2,
    "return_full_text": True,
    "stop": ["x"],
    "seed": 7,
}


def sent(wire: str, parameters: dict[str, Any]) -> dict[str, Any]:
    body = get_wire(wire).request("Hi", GenerationParameters(**parameters), stream=False, on_unsupported="warn")
    found: dict[str, Any] = body.get("parameters", body)
    return found


@pytest.mark.filterwarnings("ignore:.* dropped")
@pytest.mark.parametrize("name", PARAMETER_NAMES)
@pytest.mark.parametrize("wire", list_wires())
def test_each_parameter_is_sent_under_the_name_that_the_wire_states_or_not_at_all(wire: str, name: str) -> None:
    needed = {"temperature": 0.9} if name == "num_return_sequences" else {}
    value = VALUES[name]
    before, body = sent(wire, needed), sent(wire, {**needed, name: value})
    added = {key for key in body if key not in before or body[key] != before[key]} - {"do_sample"}
    if (wire, name) == ("hf", "max_length"):  # which counts only so
        assert body["max_new_tokens"] is None
        added -= {"max_new_tokens"}
    stated = get_wire(wire).parameter_names.get(name)
    if name == "do_sample":
        assert (body.get("do_sample") is True) == (stated is not None)
    else:
        assert added == ({stated} if stated else set())
        assert stated is None or body[stated] == value


@pytest.mark.parametrize("parameters", [{"temperature": 0}, {"do_sample": False}])
@pytest.mark.parametrize("wire", list_wires())
def test_greedy_decoding_is_requested_in_the_form_that_the_wire_states(wire: str, parameters: dict[str, Any]) -> None:
    body = sent(wire, parameters)
    if get_wire(wire).greedy_parameter == "do_sample":
        assert body["do_sample"] is False
        assert not body.keys() & {"temperature", "top_k", "top_p"}
    else:
        assert body["temperature"] == 0


@pytest.mark.parametrize("name", [name for name in list_wires() if get_wire(name).capabilities.takes_roles])
def test_a_wire_with_roles_is_sent_roles(name: str) -> None:
    body = get_wire(name).request([HumanMessage("Hi")], GenerationParameters(), stream=False)
    assert {"role": "user", "content": "Hi"} in (body["messages"] if name == "messages" else body["inputs"][0])


def test_the_guide_shows_the_table(same_page: Callable[[str, str], None]) -> None:
    wires = [get_wire(name) for name in list_wires()]
    lines = [
        ["", *(f"`{wire.name}`" for wire in wires)],
        ["---"] * (len(wires) + 1),
        ["used by", *(wire.servers for wire in wires)],
        ["accepts", *("roles" if wire.capabilities.takes_roles else "text" for wire in wires)],
        ["a stream ends with", *(wire.end_marker or "no stream" for wire in wires)],
        ["reports why an answer ended", *("yes" if wire.reports_finish_reason else "no" for wire in wires)],
        [
            "greedy by",
            *("`do_sample: false`" if w.greedy_parameter == "do_sample" else "`temperature: 0`" for w in wires),
        ],
        ["stop strings sent", *(_stops(wire) for wire in wires)],
        ["tools are", *(_place(wire.capabilities.native_tools) for wire in wires)],
        ["JSON of a schema is", *(_place(wire.capabilities.constrained_decoding) for wire in wires)],
        *([f"`{name}`", *(_cell(wire.parameter_names.get(name)) for wire in wires)] for name in PARAMETER_NAMES),
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    same_page("wires.md", f"{INTRODUCTION}\n{table}\n")


def _stops(wire: Any) -> str:
    if "stop" not in wire.parameter_names:
        return "none"
    return "all" if wire.max_stop_strings is None else f"the first {wire.max_stop_strings}"


def _place(by_the_server: bool) -> str:
    return "the server's own" if by_the_server else "in the prompt"


def _cell(name: str | None) -> str:
    return f"`{name}`" if name else "–"


INTRODUCTION = """# Wires

A wire is the format in which a container on SageMaker reads requests and sends replies. The wire of an endpoint determines
which inference parameters it accepts. `?wire=…` names it; by default it is the usual one of the family.

A parameter that a wire does not carry (–) is a `ValueError` before anything is sent; `SageMakerLLM(on_unsupported="warn")`
drops it with a warning. sagechain always cuts the answer at stop strings, exactly, and also sends them where the wire has
them, so that the server stops too. On a wire without a stream `stream` makes one request and yields the whole answer. Where
a wire does not report why an answer ended, a truncated answer looks like a whole one: give `max_new_tokens` enough room.
`max_length` counts prompt and answer together: the server counts on `hf`, the model's own tokenizer on this machine and
with `SageMakerLLM(custom_get_token_ids=…)`.

`lmi` and `tgi` read each other's streams: `OPTION_TGI_COMPAT` makes LMI send TGI's events. A reply in the format of another
wire is an error that names that wire. `{"outputs": […]}`, which LMI sent until DJL 0.25, has no end marker and is not read.

On `messages` a server that demands `model` in a request gets it from `?model=NAME`. System text stands first there too, and
neighbouring messages of one role are sent as one, since the chat templates of Llama 2, Mistral and Gemma refuse others.
Reasoning that the server sends apart is in a message's `additional_kwargs["reasoning_content"]`; a refusal is its text.
A stream that ended cleanly after its finish reason is whole, with or without `[DONE]`.

On `messages` the tools of a chat model are sent in OpenAI's form (`tools`, `tool_choice`, `parallel_tool_calls`), tool
calls are returned as the server sends them, and the JSON schema of a structured answer is sent as `response_format`. The
server has to be set up for tools: vLLM and LMI need a tool parser. On every other wire tools and schemas are part of the
prompt, and sagechain reads and validates what the model writes. No grammar is sent to `tgi` or `lmi`: its name, and the
schemas that are accepted, differ between versions of those servers, and some refuse such a request.
"""
