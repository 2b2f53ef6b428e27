"""The schema of an answer (`--schema`): JSON, a file with it, or a list of fields such as `name, age int`.

read_schema("name, age int, bio: a sentence about the person")
"""

import json
import re
from pathlib import Path
from typing import Any

from sagechain.prompts import check_known
from sagechain.prompts.json_text import checked_schema

from .prompt_files import is_file

TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
MAX_FILE_BYTES = 1_000_000
_NAME = re.compile(r"\w[\w-]*+")


def read_schema(text: str, *, several: bool = False) -> dict[str, Any]:
    """The JSON schema of an answer.

    Args:
        text: a JSON schema; the path of a file with one; or fields, separated by commas or line ends, each a name, a type
            (`str`, `int`, `float`, `bool`; `str` if not given) and after a colon a description. All fields are required.
        several: the answer is `{"items": […]}` with values of this schema.

    Raises:
        ValueError: it is none of the three, or no valid schema.
    """
    text = text.strip()
    if text.startswith("{"):
        schema = _parsed(text, "--schema")
    elif "\n" not in text and is_file(Path(text).expanduser()):
        schema = _parsed(_file_text(Path(text).expanduser()), f"--schema {text}")
    elif text.endswith(".json"):
        raise ValueError(f"--schema: the file {text!r} does not exist")
    else:
        schema = _from_fields(text)
    return _list_of(schema) if several else schema


def _list_of(schema: dict[str, Any]) -> dict[str, Any]:
    """`{"items": […]}` of values of a schema, whose definitions stay where references look for them."""
    top: dict[str, Any] = {name: schema[name] for name in ("$schema", "$defs", "definitions") if name in schema}
    item = {name: part for name, part in schema.items() if name not in top}
    return {
        **top,
        "type": "object",
        "properties": {"items": {"type": "array", "items": item}},
        "required": ["items"],
    }


def _file_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ValueError(f"--schema {path}: longer than {MAX_FILE_BYTES:,} bytes")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"--schema {path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"--schema {path}: not UTF-8 text: {error.reason}") from None


def _parsed(text: str, place: str) -> dict[str, Any]:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise ValueError(f'{place}: a JSON schema is an object, such as {{"type": "object", "properties": {{…}}}}')
    checked_schema(schema, place)
    return schema


def _from_fields(text: str) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field in text.split("\n" if "\n" in text else ","):
        if not field.strip():
            continue
        declaration, _, description = field.partition(":")
        words = declaration.split()
        if len(words) not in (1, 2) or not _NAME.fullmatch(words[0]):
            raise ValueError(f"--schema: the field {field.strip()!r} is not NAME, NAME TYPE or NAME TYPE: DESCRIPTION")
        name, kind = [*words, "str"][:2]
        check_known(f"--schema: type of {name}", [kind], TYPES)
        if name in properties:
            raise ValueError(f"--schema: the field {name!r} is given twice")
        properties[name] = {"type": TYPES[kind]}
        if description.strip():
            properties[name]["description"] = description.strip()
    if not properties:
        raise ValueError('--schema: give a JSON schema, a file with one, or fields, as in "name, age int"')
    return {"type": "object", "properties": properties, "required": list(properties)}
