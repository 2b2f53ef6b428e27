"""Errors of fields in one line, in place of pydantic's report, which has several lines and the address of a web page.

A value is shown only if it is a number: any other may be a key that was given in the wrong place.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from sagechain.prompts import unknown_name

BOUNDS = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}


def in_one_line(error: ValidationError, fields: Mapping[str, FieldInfo]) -> ValueError:
    """The error for values that do not fit these fields: each field once, with what it may be."""
    problems: dict[str, str] = {}
    for each in error.errors(include_url=False):
        field = str(each["loc"][0]) if each["loc"] else ""
        problems.setdefault(field, _problem(field, each, fields))
    return ValueError("; ".join(problems.values()))


def _problem(field: str, error: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> str:
    if error["type"] == "value_error":
        message = str(error["ctx"]["error"])
        return message if not field or message.startswith(f"{field}: ") else f"{field}: {message}"
    if error["type"] == "extra_forbidden":
        return str(unknown_name("parameter", field, fields))
    if error["type"] == "missing":
        return f"{field}: it is missing"
    if error["type"] == "finite_number":
        return f"{field}: {error['input']} is not a finite number"
    allowed = _allowed(fields[field]) if field in fields else None
    return f"{field}: {_shown(error['input'])} is not {allowed}" if allowed else f"{field}: {error['msg']}"


def _allowed(field: FieldInfo) -> str | None:
    """What a field of numbers or truth values may be, in words; None for other fields."""
    kind = str(field.annotation).removeprefix("<class '").removesuffix("'>").removesuffix(" | None")
    if kind == "bool":
        return "True or False"
    names = {"int": "a whole number", "float": "a number"}
    return " ".join([names[kind], " and ".join(_bounds(field))]).strip() if kind in names else None


def _bounds(field: FieldInfo) -> Iterator[str]:
    for each in field.metadata:
        for name, words in BOUNDS.items():
            if (bound := getattr(each, name, None)) is not None:
                yield f"{words} {bound:g}"


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, int | float) else type(value).__name__
