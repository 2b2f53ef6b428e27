"""The time to read a text grows no faster than the text, whoever wrote it.

Counting steps cannot see what happens inside a regular expression, so it is process time that is compared: of a text and
of one twice as long, in processes with a limit.
"""

import json

import pytest

from tests.growth.entry_points import ENTRY_POINTS
from tests.processes import run

CHARACTERS = 100_000


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_reading_a_text_of_twice_the_size_takes_at_most_three_times_as_long(entry_point: str) -> None:
    done = run("-m", "tests.growth.measure", entry_point, str(CHARACTERS), check=True)
    assert json.loads(done.stdout) == {}
