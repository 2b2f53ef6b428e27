"""Calls written in Python: `search(query="lamp", limit=3)`."""

import ast
import json
import re
import warnings
from typing import Any

from ..json_text.scalars import check_backslashes
from .callable_tools import CallableTools
from .envelopes import RawCall

_STRING_OR_BRACKET = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|[()]', re.DOTALL
)
_JSON_CONSTANTS = {"true": True, "false": False, "null": None}


def call_end(text: str, bracket: int, limit: int) -> int | None:
    """The position after the `)` that closes the `(` at `bracket`, brackets in strings aside; None if it is missing."""
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text, bracket, limit):
        if match[0] in ("(", ")"):
            depth += 1 if match[0] == "(" else -1
            if not depth:
                return match.end()
    return None


def parse_python_call(raw: str, name: str, arguments: str, tools: CallableTools) -> RawCall:
    """The call `raw` of the tool `name`; `arguments` are in brackets."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = ast.parse(f"f{arguments}", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return RawCall(raw, name, error="arguments: they can't be read; give each as name=value")
    if not isinstance(parsed, ast.Call):
        return RawCall(raw, name, error="arguments: they can't be read; give each as name=value")
    try:
        check_backslashes(arguments)
        return RawCall(raw, name, _arguments(parsed, tools.properties(tools.resolve(name))))
    except ValueError as error:
        return RawCall(raw, name, error=str(error))


def _arguments(parsed: ast.Call, properties: list[str]) -> dict[str, Any]:
    if len(parsed.args) > max(len(properties), 1) or any(keyword.arg is None for keyword in parsed.keywords):
        raise ValueError("arguments: give each by its name")
    try:
        positional = [_json_value(each) for each in parsed.args]
        named = {str(each.arg): _json_value(each.value) for each in parsed.keywords}
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError("arguments: a value is not a number, a text in quotes, a list or a dict") from error
    if len(positional) == 1 and isinstance(positional[0], dict) and not named:
        return positional[0]
    if len(positional) > len(properties):
        raise ValueError("arguments: give each by its name")
    by_position = dict(zip(properties, positional, strict=False))
    if twice := by_position.keys() & named.keys():
        raise ValueError(f"{min(twice)}: is given twice")
    return by_position | named


class _JsonConstants(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(_JSON_CONSTANTS[node.id]) if node.id in _JSON_CONSTANTS else node

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        names = [str(ast.literal_eval(key)) for key in node.keys if key]
        if len({*names}) < len(names):
            raise ValueError("a name is given twice")
        return self.generic_visit(node)


def _json_value(node: ast.expr) -> Any:
    text = json.dumps(ast.literal_eval(_JsonConstants().visit(node)), ensure_ascii=False, allow_nan=False)
    text.encode()  # fails on half a surrogate pair, which can't be sent anywhere
    return json.loads(text)
