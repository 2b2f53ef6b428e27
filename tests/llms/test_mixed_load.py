"""Half a minute of the load that `make prove` keeps up for five."""

import pytest
from sagechain.llms import LlamaCppLLM

from tests.mixed_load import mixed_load


@pytest.mark.timeout(1200)
def test_mixed_load_gives_right_results_and_leaves_nothing_behind(llm: LlamaCppLLM) -> None:
    assert mixed_load(30).calls > 100
