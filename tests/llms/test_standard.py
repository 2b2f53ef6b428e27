"""LangChain's own standard tests of a chat model; none is overridden, skipped or expected to fail here.

The model below it follows a few rules and reads only the prompt's text (`rule_based_llm.py`), so what is tested is the code
of sagechain: layouts, tools in prompts, tool calls in answers, streams, usage. Tests that the suites skip are in
`NOT_APPLICABLE`.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from sagechain.llms import PromptedChatModel, SageMakerLLM
from sagechain.local_aws import LocalRuntime

from tests.llms.conftest import OUTCOMES
from tests.llms.rule_based_llm import RuleBasedLLM
from tests.standard_counts import line_in_readme

NOT_APPLICABLE = [
    "test_audio_inputs",
    "test_image_inputs",
    "test_image_tool_message",
    "test_init_from_env",  # models are named by URI, and credentials are boto3's own
    "test_pdf_inputs",
    "test_pdf_tool_message",
    "test_serdes",  # a snapshot of LangChain's serialisation, which has no model in this process
]


class Abilities:
    """The settings of the suites, the same for every model below the chat model."""

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


@pytest.fixture(scope="module")
def vcr_config() -> dict[str, Any]:
    """Nothing is recorded: the model is in this process, or on loopback."""
    return {"ignore_localhost": True}


class OverLlama2(Abilities):
    llm = RuleBasedLLM(family="llama2")


class TestUnitLlama2(OverLlama2, ChatModelUnitTests):
    pass


class TestLlama2(OverLlama2, ChatModelIntegrationTests):
    pass


class OverFalcon(Abilities):
    llm = RuleBasedLLM(family="falcon")


class TestUnitFalcon(OverFalcon, ChatModelUnitTests):
    pass


class TestFalcon(OverFalcon, ChatModelIntegrationTests):
    pass


class OverChatML(Abilities):
    llm = RuleBasedLLM(family="chatml")


class TestUnitChatML(OverChatML, ChatModelUnitTests):
    pass


class TestChatML(OverChatML, ChatModelIntegrationTests):
    pass


@pytest.fixture(scope="module")
def rule_based_endpoint() -> Iterator[LocalRuntime]:
    """An endpoint that serves chat completions, with tools in OpenAI's form."""
    with LocalRuntime({"rule-based": {"model": RuleBasedLLM(family="chatml"), "wire": "messages"}}) as runtime:
        yield runtime


class OverMessagesWire(Abilities):
    @pytest.fixture(autouse=True)
    def _endpoint(self, rule_based_endpoint: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", rule_based_endpoint.url)
        self.llm = SageMakerLLM(endpoint_name="rule-based", family="messages")


class TestUnitMessagesWire(OverMessagesWire, ChatModelUnitTests):
    pass


class TestMessagesWire(OverMessagesWire, ChatModelIntegrationTests):
    pass


@pytest.mark.parametrize("row", ["Llama2", "Falcon", "ChatML", "MessagesWire"])
def test_nothing_failed_and_the_readme_has_the_counts(row: str, request: pytest.FixtureRequest) -> None:
    outcomes = request.config.stash[OUTCOMES]
    if not outcomes.complete(row):
        pytest.skip("the suites did not run as a whole")
    assert outcomes.line(row) == line_in_readme(row), "run python benchmarks/compatibility.py --write"
    assert outcomes.line(row).endswith("| 53 | 7 | 0 |")
    assert outcomes.not_applicable(row) == NOT_APPLICABLE
