"""Twenty seconds of the load that `make prove` keeps up for five minutes."""

import pytest
from sagechain.llms import LlamaCppLLM

from tests.mixed_load import LEAST_CALLS, mixed_load


@pytest.mark.timeout(1200)
def test_mixed_load_gives_right_results_and_leaves_nothing_behind(llm: LlamaCppLLM) -> None:
    assert mixed_load(20).calls >= LEAST_CALLS
