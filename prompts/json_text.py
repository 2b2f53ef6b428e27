"""JSON in what a model wrote: found, mended, and held to a schema."""

import json
from collections.abc import Mapping
from typing import Any

import json_repair
from jsonschema import Draft202012Validator


def json_in(text: str, *, cut: bool = False) -> Any:
    """The JSON value in a text, mended where that loses nothing.

    Args:
        text: what a model wrote: JSON, perhaps in a fence or with words around.
        cut: the text ended at the token limit.

    Raises:
        ValueError: there is none, or it is not whole.
    """
    try:
        return json.loads(text)
    except ValueError:
        pass
    if cut:
        raise ValueError("it was cut at the token limit; a shorter one is needed, or more `max_tokens`")
    starts = [i for i in (text.find("{"), text.find("[")) if i >= 0]
    if not starts:
        raise ValueError("there is no JSON in it")
    return json_repair.loads(text[min(starts) :])


def fitting(value: Any, schema: Mapping[str, Any]) -> Any:
    """The value, if it fits the JSON schema. Raises ValueError that says what does not."""
    errors = sorted(Draft202012Validator(schema).iter_errors(value), key=lambda error: list(error.absolute_path))
    if errors:
        raise ValueError(
            "; ".join(f"{'.'.join(map(str, e.absolute_path)) or 'the value'}: {e.message}" for e in errors)
        )
    return value
