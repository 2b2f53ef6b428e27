"""LangChain's standard tests over the embedded model; `benchmarks/compatibility.py` reports which of them pass.

Not part of `make test`: a failure here shows what the model cannot do.
"""

from pathlib import Path

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from sagechain.llms import LlamaCppLLM

from tests.llms.test_standard import Abilities

LONGEST_ANSWER = 200  # tokens; greedy, a small model repeats itself to the end of its context


class OverSmolLM2(Abilities):
    """In llama.cpp, with constrained decoding."""

    @pytest.fixture(autouse=True)
    def _embedded(self, smollm2: Path) -> None:
        self.llm = LlamaCppLLM(path=smollm2, max_new_tokens=LONGEST_ANSWER, temperature=0.0)


class TestUnitSmolLM2(OverSmolLM2, ChatModelUnitTests):
    pass


class TestSmolLM2(OverSmolLM2, ChatModelIntegrationTests):
    pass
