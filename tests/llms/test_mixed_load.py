"""A small part of the load that `make prove` sustains for minutes."""

import pytest
from sagechain.llms import LlamaCppLLM

from tests.mixed_load import check_mixed_load


@pytest.mark.timeout(1200)
def test_mixed_load_gives_right_results_and_leaves_nothing_behind(llm: LlamaCppLLM) -> None:
    check_mixed_load(rounds=2)
