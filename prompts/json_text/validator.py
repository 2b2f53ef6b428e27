"""A `jsonschema` validator whose time is bounded by the sizes of schema and value, and whose numbers are exact.

Different from `Draft202012Validator`: patterns are matched by re2; `multipleOf` compares what is written, in decimal;
`uniqueItems` compares by hash; what a `$ref` says about a value is computed once, so that alternatives which refer to each
other do not double the work with each level; a whole float beyond 2⁵³, whose last digits are lost, is not an integer.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from fractions import Fraction
from functools import cache
from itertools import islice
from typing import Any

from .patterns import matches

MAX_EXACT_FLOAT = 2**53
"""Beyond it neighbouring integers are the same float."""
_MAX_ERRORS = 10
"""Mismatches stored of one value behind a reference."""

# By reference and value: the value, stored so that no other object gets its id, and the errors.
_Memo = dict[tuple[str, int], tuple[Any, list[Any]]]
_memo: ContextVar[_Memo] = ContextVar("memo")


def schema_validator(schema: Mapping[str, Any] | bool) -> Any:
    """The validator of a schema that passed `checked_schema`. It is used inside `one_validation`."""
    from referencing import Registry

    return _validator_class()(schema, registry=Registry())  # empty: no reference to elsewhere is fetched


@contextmanager
def one_validation() -> Iterator[None]:
    """Share what references say about values until the end of the block."""
    token = _memo.set({})
    try:
        yield
    finally:
        _memo.reset(token)


@cache
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    keywords = {
        "$ref": _check_reference,
        "pattern": _check_pattern,
        "patternProperties": _check_pattern_properties,
        "additionalProperties": _check_additional_properties,
        "multipleOf": _check_multiple,
        "uniqueItems": _check_unique,
    }
    type_checker = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: _is_integer(value))
    return extend(Draft202012Validator, keywords, type_checker=type_checker)


def _is_integer(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer() and abs(value) <= MAX_EXACT_FLOAT
    return isinstance(value, int) and not isinstance(value, bool)


def _check_reference(validator: Any, reference: str, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import Draft202012Validator, ValidationError

    memo, key = _memo.get(), (reference, id(value))
    if key not in memo:
        errors = Draft202012Validator.VALIDATORS["$ref"](validator, reference, value, schema)
        memo[key] = value, list(islice(errors, _MAX_ERRORS))
    yield from map(ValidationError.create_from, memo[key][1])  # copies: each caller adds its own path


def _check_pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(value, str) and matches(pattern, value) is False:
        yield ValidationError(f"it does not match {pattern!r}")


def _check_pattern_properties(validator: Any, patterns: Mapping[str, Any], value: Any, schema: Any) -> Iterator[Any]:
    for pattern, part in patterns.items() if isinstance(value, dict) else ():
        for name, item in value.items():
            if matches(pattern, name):
                yield from validator.descend(item, part, path=name, schema_path=pattern)


def _check_additional_properties(validator: Any, allowed: Any, value: Any, schema: Any) -> Iterator[Any]:
    """Each other property against `allowed`; the message of an error is the name of one that may not be there."""
    from jsonschema import ValidationError

    for name, item in value.items() if isinstance(value, dict) else ():
        if not is_additional(name, schema):
            continue
        if allowed is False:
            yield ValidationError(name)
            return
        yield from validator.descend(item, allowed, path=name)


def is_additional(name: str, schema: Mapping[str, Any]) -> bool:
    """Whether a property is neither listed, nor may match one of `patternProperties`."""
    patterns = schema.get("patternProperties", ())
    return name not in schema.get("properties", ()) and all(matches(pattern, name) is False for pattern in patterns)


def _check_multiple(validator: Any, divisor: float, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(value, int | float) and not isinstance(value, bool) and (_exact(value) / _exact(divisor)) % 1:
        yield ValidationError(f"it is not a multiple of {divisor}")


def _exact(number: float) -> Fraction:
    """The number as it is written: 0.01 is a hundredth, not the nearest float."""
    return Fraction(number) if isinstance(number, int) else Fraction(repr(number))


def _check_unique(validator: Any, unique: bool, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if unique and isinstance(value, list) and len({_identity(item) for item in value}) < len(value):
        yield ValidationError("its items are not unique")


def _identity(value: Any) -> str:
    """A text that two values share if JSON schema holds them to be equal: 1 and 1.0 are, 1 and true are not."""
    return json.dumps(_with_whole_numbers(value), sort_keys=True)


def _with_whole_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _with_whole_numbers(item) for name, item in value.items()}
    return [_with_whole_numbers(item) for item in value] if isinstance(value, list) else value
