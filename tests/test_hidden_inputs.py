"""Keys and people's texts in the input of a model never stand in the error that refuses it."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.language_models import FakeListLLM
from pydantic import BaseModel
from sagechain.llms import GenerationParameters, PromptedChatModel, SageMakerLLM, load_chat_model, load_llm

FOLDERS = ("prompts", "llms", "chains", "agents", "endpoints", "local_aws")
KEY = "sk-secret-123"


def models(folder: str) -> Iterator[type[BaseModel]]:
    """The pydantic models that the folder's modules define."""
    package = importlib.import_module(f"sagechain.{folder}")
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(found.name)
        for value in vars(module).values():
            if not isinstance(value, type) or not issubclass(value, BaseModel) or value.__module__ != module.__name__:
                continue
            if not value.__pydantic_generic_metadata__["origin"]:  # a `BaseLanguageModel[Any]` of an annotation
                yield value


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_model_hides_its_input_in_errors(folder: str) -> None:
    shown = [model.__name__ for model in models(folder) if not model.model_config.get("hide_input_in_errors")]
    assert shown == []


@pytest.mark.parametrize(
    "refused",
    [
        lambda: PromptedChatModel(llm=FakeListLLM(responses=["x"]), family="nosuch", api_key=KEY),
        lambda: PromptedChatModel(llm=FakeListLLM(responses=["x"]), api_key=[KEY]),  # type: ignore[arg-type]
        lambda: PromptedChatModel(llm=FakeListLLM(responses=["x"]), temperature=KEY),  # type: ignore[arg-type]
        lambda: SageMakerLLM(
            endpoint_name="e", region_name="us-east-1", family="falcon", aws_secret_access_key=KEY, top_p=5
        ),
        lambda: SageMakerLLM.model_validate({"endpoint_name": "e", "region_name": "us-east-1", "secret": KEY}),
        lambda: GenerationParameters.model_validate({"temperature": -1, "stop": [KEY]}),
        lambda: GenerationParameters.model_validate({"api_key": KEY}),
        lambda: load_llm("local:smollm2", api_key=KEY),  # type: ignore[call-arg]
        lambda: load_chat_model("sagemaker:e?family=falcon&region=us-east-1", timeout=KEY),  # type: ignore[arg-type]
    ],
)
def test_a_refused_setting_does_not_show_a_key(refused: Callable[[], Any]) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the text is checked below)
        refused()
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value)
