"""Check requests as SageMaker does, by botocore's description of it; boto3's client leaves patterns and enums to AWS.

    check("CreateEndpoint", {"EndpointName": "my endpoint"})    # AwsError: 2 validation errors detected: …

Members that an operation does not have are ignored, as by AWS.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from ..errors import AwsError, validation_error

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
def service_model() -> Any:
    """botocore's description of SageMaker's API. It takes a quarter of a second to read."""
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")


def check(operation: str, parameters: Any) -> dict[str, Any]:
    """The parameters of a request that its operation has, if they are valid.

    Raises:
        AwsError: `SerializationException` for a wrong type, else `ValidationException` with all violations in AWS's words.
    """
    shape = service_model().operation_model(operation).input_shape
    violations = list(_violations(shape, parameters, ""))
    if violations:
        errors = "error" if len(violations) == 1 else "errors"
        raise validation_error(f"{len(violations)} validation {errors} detected: {'; '.join(violations)}")
    return {name: value for name, value in parameters.items() if name in shape.members and value is not None}


def _violations(shape: Any, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    expected = _PYTHON_TYPES[kind]
    if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
        raise AwsError("SerializationException", f"{path or 'the request'}: a {kind} is expected, not {_quoted(value)}")
    for rule in _violated_rules(shape, value):
        yield f"Value {_quoted(value)} at '{path}' failed to satisfy constraint: Member must {rule}"
    for member_shape, member_path, member in _members(shape, value, path):
        if member is None:
            yield f"Value null at '{member_path}' failed to satisfy constraint: Member must not be null"
        else:
            yield from _violations(member_shape, member, member_path)


def _members(shape: Any, value: Any, path: str) -> Iterator[tuple[Any, str, Any]]:
    """The members of a value with their shapes and paths; None for a required one that is missing."""
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if value.get(name) is not None or name in shape.required_members:
                yield member, f"{path}.{_lower(name)}".lstrip("."), value.get(name)
    elif shape.type_name == "list":
        for number, member in enumerate(value, 1):
            yield shape.member, f"{path}.{number}.member", member
    elif shape.type_name == "map":
        for key, member in value.items():
            yield shape.key, f"{path}.{key}.key", key
            yield shape.value, f"{path}.{key}.value", member


def _violated_rules(shape: Any, value: Any) -> Iterator[str]:
    rules = shape.metadata
    sized = isinstance(value, str | list | dict)
    size, quantity = (len(value), "length") if sized else (value, "value")
    if "min" in rules and size < rules["min"]:
        yield f"have {quantity} greater than or equal to {rules['min']}"
    if "max" in rules and size > rules["max"]:
        yield f"have {quantity} less than or equal to {rules['max']}"
    elif "pattern" in rules and not _pattern(rules["pattern"]).fullmatch(value):
        yield f"satisfy regular expression pattern: {rules['pattern']}"
    if "enum" in rules and value not in rules["enum"]:
        yield f"satisfy enum value set: [{', '.join(rules['enum'])}]"


@cache
def _pattern(java: str) -> re.Pattern[str]:
    for java_class, python_class in _JAVA_CLASSES.items():
        java = java.replace(java_class, python_class)
    return re.compile(java)


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _quoted(value: Any) -> str:
    return f"'{value}'"
