"""The errors: what each states about itself, that each pickles, and that the module's tree and the guide show them all."""

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from sagechain.llms import errors
from sagechain.llms.errors import LLMError

GUIDE = Path(__file__).parents[2] / "docs" / "index.md"
CLASSES = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, LLMError)]
RETRYABLE = {"Throttled", "ModelNotReady", "ModelFailed", "ServiceFailed", "ConnectionFailed"}
FACTS: dict[str, tuple[Any, ...]] = {
    "StreamInterrupted": ("half an answer",),
    "StructuredOutputFailed": ("{",),
    "LeftBehind": (("endpoint e",),),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_pickles_with_all_it_contains(kind: type[LLMError]) -> None:
    error = kind("e", "transformers" if kind is errors.MissingExtra else "broken.", *FACTS.get(kind.__name__, ()))
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_the_message_names_the_endpoint_what_happened_and_what_to_do() -> None:
    error = errors.StreamInterrupted("e", "cut.", "half")
    assert str(error) == "e: cut. Try again, or show `partial_text` marked as incomplete."
    assert (error.endpoint, error.message, error.partial_text) == ("e", "cut.", "half")


def test_which_errors_may_be_retried() -> None:
    assert {kind.__name__ for kind in CLASSES if kind.retryable} == RETRYABLE


def test_the_tree_in_the_module_shows_every_error() -> None:
    assert set(re.findall(r"── (\w+)", errors.__doc__ or "")) == {kind.__name__ for kind in CLASSES} - {"LLMError"}


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not LLMError])
def test_the_guide_has_a_line_for_each_error(kind: type[LLMError]) -> None:
    [description] = (kind.__doc__ or "").splitlines()
    assert f"| `{kind.__name__}` | {description} |" in GUIDE.read_text("utf-8")
