"""LangChain's own standard tests judge the chat model; none is overridden, skipped or expected to fail here.

They need a model that can do what they ask. The scripted one reads only the prompt text, so what is judged is ours: layout, tools
told and read back, streams, figures. What the suites leave out by themselves is in `NOT_APPLICABLE`.
"""

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from sagechain.llms import PromptedChatModel
from sagechain.llms.testing import ScriptedLLM


class Abilities:
    """What the suites are told of the chat model, whatever stands below it."""

    llm: Any

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return PromptedChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"llm": self.llm}

    @property
    def model_override_value(self) -> str:
        return "another-name"

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def enable_vcr_tests(self) -> bool:
        return True


class OverScriptedLlama2(Abilities):
    llm = ScriptedLLM(family="llama2")


class OverScriptedFalcon(Abilities):
    llm = ScriptedLLM(family="falcon")


class OverScriptedChatML(Abilities):
    llm = ScriptedLLM(family="chatml")


class TestUnitLlama2(OverScriptedLlama2, ChatModelUnitTests):
    pass


class TestLlama2(OverScriptedLlama2, ChatModelIntegrationTests):
    pass


class TestUnitFalcon(OverScriptedFalcon, ChatModelUnitTests):
    pass


class TestFalcon(OverScriptedFalcon, ChatModelIntegrationTests):
    pass


class TestUnitChatML(OverScriptedChatML, ChatModelUnitTests):
    pass


class TestChatML(OverScriptedChatML, ChatModelIntegrationTests):
    pass
