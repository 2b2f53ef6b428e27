"""The JSON schemas of Python types, and the values of those types that JSON stands for.

    value_type = ValueType(list[Offer])
    value_type.schema                         # {"type": "array", "items": {…}}
    value_type.read([{"price": 189}])         # [Offer(price=189)]

Any type that pydantic knows: its models, TypedDicts in every form (those of `typing` too, which pydantic itself refuses
before Python 3.12), unions, lists, tuples, enums, dataclasses.
"""

import inspect
import json
import re
from collections.abc import Mapping
from functools import cached_property, reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin, get_type_hints

import typing_extensions
from langchain_core.utils.json_schema import dereference_refs
from pydantic import Field, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic.v1 import BaseModel as BaseModelV1
from typing_extensions import is_typeddict

MAX_REASONS = 3
"""How many mismatches one error lists."""
_NOT_IN_NAMES = re.compile(r"[^\w-]")


def is_python_type(schema: Any) -> bool:
    """Whether it is a type that `ValueType` reads; not a JSON schema, a function, a tool, or a class of pydantic's v1."""
    if get_origin(schema) is not None or is_typeddict(schema):
        return True
    return isinstance(schema, type) and not issubclass(schema, BaseModelV1)


class ValueType:
    """A Python type whose values a model writes in JSON.

    Attributes:
        name: of its schema; "answer" where the type has none.
        description: its docstring.
        is_recursive: whether values may contain values of the same type.

    Raises:
        ValueError: JSON has no schema for it.
    """

    def __init__(self, python_type: Any) -> None:
        self._type = python_type
        shown = getattr(python_type, "__name__", None) or str(python_type)
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(_for_pydantic(python_type, ()))
            self._given: dict[str, Any] = self._adapter.json_schema()
        except (PydanticUserError, PydanticUndefinedAnnotation, NameError, TypeError, RecursionError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"schema: {shown} can't be described as a JSON schema: {reason}; make it a field of a pydantic class"
            ) from error
        definitions = self._given.get("$defs", {})
        described = self._given if "$ref" not in self._given else definitions.get(shown, {})  # a recursive class
        own_docstring = vars(python_type).get("__doc__") if is_typeddict(python_type) else None
        self.name = _NOT_IN_NAMES.sub("_", described.get("title", "answer"))[:64]
        self.description = inspect.cleandoc(own_docstring or described.get("description", ""))
        self.is_recursive = _is_recursive(self._given)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON schema, without references unless it is recursive."""
        schema = {key: value for key, value in self._given.items() if key not in ("title", "description")}
        if not self.is_recursive:
            schema = {key: value for key, value in dereference_refs(schema).items() if key != "$defs"}
        without_titles: dict[str, Any] = _without_titles(schema)
        return without_titles

    def read(self, value: Any) -> Any:
        """The value of the type that a JSON value stands for.

        Raises:
            ValueError: it is not a value of the type; one line with the fields and reasons.
        """
        try:
            return self._adapter.validate_json(json.dumps(value))  # as JSON: a strict model takes dates from texts then
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_REASONS]
            reasons = (f"{'.'.join(map(str, each['loc'])) or 'the value'}: {each['msg']}" for each in found)
            raise ValueError("; ".join(reasons)) from error


def _for_pydantic(kind: Any, within: tuple[Any, ...]) -> Any:
    """The type with every TypedDict in it as pydantic reads it.

    Args:
        kind: the type, or a part of it.
        within: the TypedDicts that contain it.
    """
    if is_typeddict(kind):
        if kind in within:
            raise TypeError(f"{kind.__name__} contains itself")
        return _typed_dict(kind, (*within, kind))
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        inner, *metadata = arguments
        return Annotated[(_for_pydantic(inner, within), *metadata)]
    inner_types = tuple(_for_pydantic(each, within) for each in arguments)
    if inner_types == arguments or origin is None:
        return kind
    return reduce(or_, inner_types) if origin in (Union, UnionType) else origin[inner_types]


def _typed_dict(kind: Any, within: tuple[Any, ...]) -> Any:
    fields = {}
    for name, given in get_type_hints(kind, include_extras=True).items():
        hint, required = given, name in kind.__required_keys__
        while (origin := get_origin(hint)) in (Required, NotRequired, typing_extensions.ReadOnly):
            required = {Required: True, NotRequired: False}.get(origin, required)
            hint = get_args(hint)[0]
        field = _for_pydantic(hint, within)
        if get_origin(hint) is Annotated:
            field, optional = _described(hint, within)
            required = required and not optional
        fields[name] = (Required if required else NotRequired)[field]
    typed_dict = typing_extensions.TypedDict(kind.__name__, fields)  # type: ignore[misc]
    typed_dict.__doc__ = kind.__doc__
    return typed_dict


def _described(hint: Any, within: tuple[Any, ...]) -> tuple[Any, bool]:
    """LangChain's `Annotated[type, default, description]` for pydantic, and whether it has a default."""
    inner, *metadata = get_args(hint)
    kind = _for_pydantic(inner, within)
    if len(metadata) == 2 and isinstance(metadata[1], str):
        return Annotated[kind, Field(description=metadata[1])], metadata[0] is not ...
    return Annotated[(kind, *metadata)], False


def _is_recursive(schema: Mapping[str, Any]) -> bool:
    """Whether a definition refers to itself, through others or not."""
    text_of = {f"#/$defs/{name}": json.dumps(part) for name, part in schema.get("$defs", {}).items()}
    references = {name: {each for each in text_of if f'"$ref": "{each}"' in text} for name, text in text_of.items()}
    while references:
        leaves = {name for name, inner in references.items() if not inner & references.keys()}
        if not leaves:
            return True
        references = {name: inner for name, inner in references.items() if name not in leaves}
    return False


def _without_titles(part: Any, *, names: bool = False) -> Any:
    """The schema without the titles that pydantic makes from names; `names`: the keys are names, not keywords."""
    if isinstance(part, list):
        return [_without_titles(each) for each in part]
    if not isinstance(part, Mapping):
        return part
    return {
        key: item
        if key in ("enum", "const", "default", "examples") and not names
        else _without_titles(item, names=not names and key in ("properties", "$defs", "patternProperties"))
        for key, item in part.items()
        if names or key != "title"
    }
