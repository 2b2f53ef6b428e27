"""LangChain's own standard tests judge the chat model: none is overridden.

Tools and structured output come with the tools of the chat model; until then the suites see no `bind_tools`, and leave
those tests out by themselves.
"""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from sagechain.endpoints import LocalRuntime
from sagechain.llms import LlamaCppLLM, PromptedChatModel, SageMakerLLM

from tests.conftest import FALCON


class OverLlamaCpp:
    """The embedded model in llama.cpp, with the model's own template."""

    @pytest.fixture(autouse=True)
    def _embedded(self, smollm2: Path) -> None:
        self.llm = LlamaCppLLM(path=smollm2)

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return PromptedChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"llm": self.llm}


class OverAnEndpoint:
    """An endpoint that speaks Falcon's wire."""

    @pytest.fixture(autouse=True)
    def _endpoint(self, runtime: LocalRuntime, llm: LlamaCppLLM) -> None:
        self.llm = SageMakerLLM(endpoint_name=FALCON, family="falcon", custom_get_token_ids=llm.get_token_ids)

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return PromptedChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"llm": self.llm}


class TestUnitOverLlamaCpp(OverLlamaCpp, ChatModelUnitTests):
    pass


class TestUnitOverAnEndpoint(OverAnEndpoint, ChatModelUnitTests):
    pass


class TestOverLlamaCpp(OverLlamaCpp, ChatModelIntegrationTests):
    @property
    def supports_image_inputs(self) -> bool:
        return False

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "another-name"


class TestOverAnEndpoint(OverAnEndpoint, ChatModelIntegrationTests):
    @property
    def model_override_value(self) -> str:
        return "another-name"
