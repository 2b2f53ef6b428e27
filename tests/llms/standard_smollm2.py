"""LangChain's standard tests over the embedded model: what so small a one can do; `benchmarks/compatibility.py` reports it.

No part of `make test`: a test that fails here says what the model cannot do.
"""

from pathlib import Path

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from sagechain.llms import LlamaCppLLM

from tests.llms.test_standard import Abilities

LONGEST_ANSWER = 200  # tokens; greedy, a small model repeats itself to the end of its context


class OverSmolLM2(Abilities):
    """In llama.cpp, which holds its decoding to tools and schemas."""

    @pytest.fixture(autouse=True)
    def _embedded(self, smollm2: Path) -> None:
        self.llm = LlamaCppLLM(path=smollm2, max_new_tokens=LONGEST_ANSWER, temperature=0.0)


class TestUnitSmolLM2(OverSmolLM2, ChatModelUnitTests):
    pass


class TestSmolLM2(OverSmolLM2, ChatModelIntegrationTests):
    pass
