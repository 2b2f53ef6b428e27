"""Models are deep-copied and pickled, as multiprocessing, Ray and Dask do: a copy has its own client and limits."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from langchain_core.language_models.llms import BaseLLM
from sagechain.llms import PromptedChatModel, SageMakerLLM, load_chat_model, load_llm
from sagechain.llms.testing import ScriptedLLM
from sagechain.local_aws import LocalRuntime
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.conftest import FALCON_URI

COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "model_copy": lambda model: model.model_copy(deep=True),
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
}
TOOL = {"name": "search", "description": "Search.", "parameters": {"type": "object", "properties": {}}}
each_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


@each_copy
@pytest.mark.parametrize("wire", ["tgi", "messages"])
def test_a_copy_of_an_endpoints_model_has_equal_settings_and_its_own_client(
    wire: str, copied: Callable[[SageMakerLLM], SageMakerLLM]
) -> None:
    model = SageMakerLLM(
        endpoint_name="e",
        wire=wire,
        temperature=0.5,
        region_name="eu-west-1",
        max_concurrency=3,
        config=Config(user_agent_extra="mine"),
    )
    other = copied(model)
    assert other.client is not model.client
    assert other.client.meta.region_name == "eu-west-1"
    assert other._identifying_params == model._identifying_params
    assert (other.timeout, other.max_concurrency) == (model.timeout, 3)


@each_copy
def test_a_copy_answers(copied: Callable[[BaseLLM], BaseLLM], runtime: LocalRuntime) -> None:
    model = load_llm(FALCON_URI, max_new_tokens=4)
    assert copied(model).invoke("Hi") == model.invoke("Hi")


def test_a_pickle_is_used_in_the_region_in_which_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pickle.dumps(load_llm("sagemaker:e?family=falcon"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    assert pickle.loads(data).client.meta.region_name == "us-east-1"


def test_a_pickle_has_no_credentials_and_finds_those_of_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pickle.dumps(load_chat_model("sagemaker:e?family=falcon"))
    assert b"made-up-secret" not in data
    assert b"AKIDMADEUP" not in data
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOTHER")
    session = pickle.loads(data).llm.client._request_signer
    assert session._credentials.access_key == "AKIDOTHER"


@pytest.mark.parametrize("copied", [COPIES["deepcopy"], COPIES["model_copy"]])
def test_a_given_client_is_shared_by_copies(copied: Callable[[Any], Any]) -> None:
    client = boto3.client("sagemaker-runtime")
    model = SageMakerLLM(endpoint_name="e", family="falcon", client=client)
    assert copied(model).client is client
    assert copied(PromptedChatModel(llm=model)).llm.client is client
    assert copy.deepcopy([model, client])[1] is client


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"client": None}, "client: a model with a given client or given keys is not pickled. Make it without them"),
        (
            {"aws_access_key_id": "AKIDGIVEN", "aws_secret_access_key": "given-secret"},
            "aws_access_key_id: a model with",
        ),
    ],
)
def test_a_model_with_a_given_client_or_keys_is_not_pickled(given: dict[str, Any], message: str) -> None:
    if "client" in given:
        given = {"client": boto3.client("sagemaker-runtime")}
    model = SageMakerLLM(endpoint_name="e", family="falcon", **given)
    for each in (model, PromptedChatModel(llm=model), PromptedChatModel(llm=model).bind_tools([TOOL])):
        with pytest.raises(ValueError, match=message) as caught:
            pickle.dumps(each)
        assert "given-secret" not in str(caught.value)


@each_copy
def test_a_copy_counts_tokens_with_the_same_tokenizer(copied: Callable[[Any], Any], tmp_path: Path) -> None:
    words = Tokenizer(models.WordLevel({"the": 0, "quick": 1, "?": 2}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    model = SageMakerLLM(endpoint_name="e", family="falcon", tokenizer=tmp_path)
    assert copied(model).get_num_tokens("the quick brown fox") == 4


@each_copy
def test_a_chat_model_is_copied_with_its_tools(copied: Callable[[Any], Any]) -> None:
    chat = PromptedChatModel(llm=ScriptedLLM([{"name": "search", "args": {}}, "second"])).bind_tools([TOOL])
    other = copied(chat)
    assert [call["name"] for call in other.invoke("hi").tool_calls] == ["search"]
    assert [call["name"] for call in chat.invoke("hi").tool_calls] == ["search"]  # its script is its own


@each_copy
def test_a_copy_of_a_scripted_model_continues_a_script_of_its_own(copied: Callable[[Any], Any]) -> None:
    model = ScriptedLLM(["one", "two"], max_concurrency=1)
    model.invoke("first")
    other = copied(model)
    assert (other.invoke("second"), other.prompts) == ("two", ["first", "second"])
    assert (model.invoke("other"), model.prompts) == ("two", ["first", "other"])
