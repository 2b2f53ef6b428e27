"""Models by URI: what is understood, and what is refused with which words."""

from pathlib import Path
from typing import Any

import pytest
from sagechain.llms import LlamaCppLLM, PromptedChatModel, SageMakerLLM, load_chat_model, load_llm

from tests.conftest import FALCON


def test_an_endpoint_uri_says_all_there_is_to_say() -> None:
    llm = load_llm(
        "sagemaker:my%2Dfalcon?family=falcon&wire=tgi&region=eu-west-1&component=c&variant=v",
        temperature=0.5,
        timeout=9.0,
        max_retries=0,
        accept_eula=True,
    )
    assert isinstance(llm, SageMakerLLM)
    assert (llm.endpoint_name, llm.family, llm.wire) == ("my-falcon", "falcon", "tgi")
    assert (llm.inference_component_name, llm.variant_name) == ("c", "v")
    assert (llm.temperature, llm.timeout, llm.max_retries, llm.accept_eula) == (0.5, 9.0, 0, True)
    assert llm.client.meta.region_name == "eu-west-1"


@pytest.mark.parametrize(("family", "wire"), [("llama2", "tgi"), ("falcon", "tgi")])
def test_the_wire_follows_from_the_family(family: str, wire: str) -> None:
    llm = load_llm(f"sagemaker:{FALCON}?family={family}")
    assert isinstance(llm, SageMakerLLM)
    assert llm.wire == wire


def test_a_local_uri_names_a_file_and_its_settings(smollm2: Path) -> None:
    llm = load_llm(f"local:{smollm2}?family=chatml&context=128&slots=2", timeout=5, accept_eula=True, client=None)
    assert isinstance(llm, LlamaCppLLM)
    assert (llm.family, llm.context, llm.slots, llm.timeout, llm.takes_roles) == ("chatml", 128, 2, 5.0, False)


def test_a_chat_model_takes_the_same_uris() -> None:
    chat = load_chat_model(f"sagemaker:{FALCON}?family=falcon", max_new_tokens=3)
    assert isinstance(chat, PromptedChatModel)
    assert chat.family == "falcon"


@pytest.mark.parametrize(
    ("uri", "parameters", "message"),
    [
        ("bedrock:claude", {}, "model: 'bedrock:claude' is unknown"),
        ("smollm2", {}, "Did you mean 'local:smollm2'"),
        ("sagemaker:", {}, "names no endpoint"),
        ("local:", {}, "names no file"),
        ("local:/no/such/file", {}, "there is no file '/no/such/file'. Embedded models: smollm2"),
        ("sagemaker:x?famly=falcon", {}, "Did you mean 'family'"),
        ("sagemaker:x?family=falcn", {}, "Did you mean 'falcon'"),
        ("sagemaker:x?family=falcon&wire=tgl", {}, "Did you mean 'tgi'"),
        ("local:x?slot=2", {}, "Did you mean 'slots'"),
        ("local:smollm2", {"temprature": 1}, "Did you mean 'temperature'"),
        ("sagemaker:x?family=falcon", {"max_tokens": 3}, "parameter: 'max_tokens' is unknown"),
    ],
)
def test_bad_input_is_a_value_error_that_says_what_is_known(uri: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_llm(uri, **parameters)
    with pytest.raises(ValueError, match=message):
        load_chat_model(uri, **parameters)
