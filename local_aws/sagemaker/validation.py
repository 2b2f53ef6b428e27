"""Check requests as SageMaker does, by botocore's own description of it: its client leaves patterns and enums to AWS.

    checked("CreateEndpoint", {"EndpointName": "my endpoint"})    # Refused: 2 validation errors detected: …

Members that an operation does not have are ignored, as by AWS.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from ..refusals import Refused, invalid

# Java's classes of characters, inside the square brackets where the patterns have them. `\w` is letters, digits and `_`.
_JAVA_CLASSES = {r"\p{L}": r"\w", r"\p{N}": r"\w", r"\p{Z}": " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"}

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float),
}


@cache
def sagemaker() -> Any:
    """botocore's description of SageMaker's API. It takes a quarter of a second to read."""
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")


def checked(operation: str, parameters: Any) -> dict[str, Any]:
    """The parameters of a request, if they are what the operation takes.

    Raises:
        Refused: `SerializationException` for a wrong type, else `ValidationException` with all that is wrong, as AWS
            words it.
    """
    shape = sagemaker().operation_model(operation).input_shape
    complaints = list(_complaints(shape, parameters, ""))
    if complaints:
        errors = "error" if len(complaints) == 1 else "errors"
        raise invalid(f"{len(complaints)} validation {errors} detected: {'; '.join(complaints)}")
    return {name: value for name, value in parameters.items() if name in shape.members and value is not None}


def _complaints(shape: Any, value: Any, place: str) -> Iterator[str]:
    kind = shape.type_name
    expected = _PYTHON_TYPES[kind]
    if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
        raise Refused("SerializationException", f"{place or 'the request'}: a {kind} is expected, not {_shown(value)}")
    for rule in _broken_rules(shape, value):
        yield f"Value {_shown(value)} at '{place}' failed to satisfy constraint: Member must {rule}"
    for inner, at, member in _inside(shape, value, place):
        if member is None:
            yield f"Value null at '{at}' failed to satisfy constraint: Member must not be null"
        else:
            yield from _complaints(inner, member, at)


def _inside(shape: Any, value: Any, place: str) -> Iterator[tuple[Any, str, Any]]:
    """The parts of a value with their shapes and places; None for one that is missing and required."""
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if value.get(name) is not None or name in shape.required_members:
                yield member, f"{place}.{_lower(name)}".lstrip("."), value.get(name)
    elif shape.type_name == "list":
        for number, member in enumerate(value, 1):
            yield shape.member, f"{place}.{number}.member", member
    elif shape.type_name == "map":
        for key, member in value.items():
            yield shape.key, f"{place}.{key}.key", key
            yield shape.value, f"{place}.{key}.value", member


def _broken_rules(shape: Any, value: Any) -> Iterator[str]:
    rules = shape.metadata
    sized = isinstance(value, str | list | dict)
    size, what = (len(value), "length") if sized else (value, "value")
    if "min" in rules and size < rules["min"]:
        yield f"have {what} greater than or equal to {rules['min']}"
    if "max" in rules and size > rules["max"]:
        yield f"have {what} less than or equal to {rules['max']}"
    elif "pattern" in rules and not _pattern(rules["pattern"]).fullmatch(value):
        yield f"satisfy regular expression pattern: {rules['pattern']}"
    if "enum" in rules and value not in rules["enum"]:
        yield f"satisfy enum value set: [{', '.join(rules['enum'])}]"


@cache
def _pattern(java: str) -> re.Pattern[str]:
    for theirs, ours in _JAVA_CLASSES.items():
        java = java.replace(theirs, ours)
    return re.compile(java)


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _shown(value: Any) -> str:
    return f"'{value}'"
