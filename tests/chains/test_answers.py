"""Answers found in text, and compared with the truth."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sagechain.chains import extract_answer, same_answer
from sagechain.chains.reasoning.answers import before_next_question


@pytest.mark.parametrize(
    ("text", "kind", "answer"),
    [
        ("2 + 2 = 4. The answer is 4.", "number", "4"),
        ("The answer is 4.\nQ: Next?\nA: The answer is 9.", "number", "4"),
        ("The answer is 4.\n\nQ: Next?\nA: The answer is 9.", "number", "4"),
        ("Not yet: the answer is 5? No, the answer is 6.", "number", "6"),
        ("The answer is 16.\n\nAnother one: the answer is 9.", "number", "16"),
        ("The answer is 3 * 6 = 18 apples.", "number", "18"),
        ("The answer is $1,234.50.", "number", "$1,234.50"),
        ("The answer is: 7", "number", "7"),
        ("The answer (a number) is 12", "number", "12"),
        ("The answer is -3.", "number", "-3"),
        ("The answer is .5.", "number", ".5"),
        ("The answer is $.50.", "number", "$.50"),
        ("So 4 + 5 = 9 rolls", "number", "9"),
        ("I do not know.", "number", None),
        ("The answer is unknown.", "number", None),
        ("The answer is yes.", "yes-no", "yes"),
        ("No, it is not.", "yes-no", "No"),
        ("Hard to know.", "yes-no", None),
        ('The answer is "ol".', "word", "ol"),
        ("The answer is ol, since o and l.", "word", "ol"),
        ("Joining them gives ol.", "word", None),
        ("The answer is pen, sun, dog.", "list", "pen, sun, dog"),
        ("", "number", None),
    ],
)
def test_the_answer_is_found(text: str, kind: Any, answer: str | None) -> None:
    assert extract_answer(text, kind) == answer


@pytest.mark.parametrize(
    ("found", "truth", "kind", "same"),
    [
        ("16", "16.0", "number", True),
        ("$1,000", "1000", "number", True),
        ("15", "16", "number", False),
        (".5", "0.5", "number", True),
        (None, "16", "number", False),
        ("Yes", "yes", "yes-no", True),
        ("OL", "ol", "word", True),
        ("pen, sun and dog", "pen,sun, dog", "list", True),
        ("sun, pen", "pen, sun", "list", False),
    ],
)
def test_answers_are_compared_by_value(found: str | None, truth: str, kind: Any, same: bool) -> None:
    assert same_answer(found, truth, kind) is same


@given(st.integers(-10_000_000, 10_000_000), st.sampled_from(["{}", "{:,}", "${:,}", "{}.0", "{:,}.00"]))
def test_every_way_to_write_a_number_is_the_same_number(number: int, form: str) -> None:
    written = form.format(number).replace("$-", "-$")
    found = extract_answer(f"Some steps with 1 and 2. The answer is {written}.", "number")
    assert same_answer(found, str(number), "number")


@given(st.text(), st.text())
def test_the_models_next_question_is_removed(before: str, after: str) -> None:
    assert "\nQ:" not in before_next_question(f"{before}\nQ: {after}")
