"""Fill a JSON schema with what a person said: the values that an ideal model would give a tool, or an answer.

    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    filled(schema, Words("What is 3 + 4?"))     # {"a": 3}

The rules, in their order: a value that the words give to the name (`quantity: 2`, `2 nights`, `my name is Ada`); a text of
that name in what tools gave; the next value of that kind in the words (numbers; what is quoted, then codes such as `AB-12`,
then names with a capital letter, then what stands after "for" or "about"); a number of that name in what tools gave; the
schema's default, or its description. What is not required is filled only where the words speak of it.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NUMBER = r"(?<![\w.])-?\d+(?:\.\d+)?(?!\w)"
QUOTED = r"(?<!\w)(?:'([^'\n]+)'(?!\w)|\"([^\"\n]+)\"|“([^”\n]+)”|‘([^’\n]+)’|«([^»\n]+)»|「([^」\n]+)」)"
CODE = r"\b(?=\w*[A-Za-z])(?=[\w-]*\d)\w+(?:-\w+)*\b|\b[\w.+-]+@[\w-]+\.[\w.-]*\w"
CAPITAL = r"(?!I\b)[A-ZÀ-ÖØ-Þ][\w’-]+"
NAME = rf"(?<=[\w,;(] ){CAPITAL}(?: {CAPITAL})*(?:, [A-Z]{{2}}\b)?|(?<=\(){CAPITAL}(?: {CAPITAL})*"
PHRASE = r"\b(?:for|about)\s+(?:an?\s+|the\s+|some\s+)?([^.,;?!\n]+)"
GIVEN = r"\s*(?:=|:|\bis\b)\s*"
ASKED_TEXT = re.compile(r"query|question|text|message|content|request|prompt|input")


class Words:
    """What was said, and the values in it that nothing has taken yet.

    Args:
        text: the person's words.
        results: what tools gave, JSON among it.
    """

    def __init__(self, text: str, results: Iterable[str] = ()) -> None:
        self.text = text
        self.results = [value for result in results for value in _json(result)]
        self.numbers = [_number(found) for found in re.findall(NUMBER, text)]
        self.strings = _strings(text)

    @classmethod
    def arguments(cls, text: str) -> "Words":
        """The words between the brackets of a call that somebody wrote: values with commas between them."""
        words = cls(text)
        values = [part.strip().strip("'\"") for part in text.split(",") if "=" not in part]
        words.strings = [[value for value in values if value and not re.fullmatch(NUMBER, value)]]
        return words

    def speak_of(self, name: str) -> bool:
        """Whether the name stands in the words, and is not said to be left out."""
        spoken = _spoken(name)
        left_out = rf"\b(?:no|without)\s+(?:an?\s+|the\s+)?{spoken}\b"
        return bool(re.search(rf"\b{spoken}\b", self.text, re.I)) and not re.search(left_out, self.text, re.I)

    def given(self, before: str, name: str, after: str) -> str | None:
        """What the words give to a name: the first group of what stands before or after it."""
        found = re.search(rf"{before}\b{_spoken(name)}\b{after}", self.text, re.I)
        return next(group for group in found.groups() if group is not None).strip() if found else None

    def taken(self, number: float) -> float:
        """The number, which nothing else takes any more."""
        if number in self.numbers:
            self.numbers.remove(number)
        return number

    def next_string(self) -> str | None:
        """The next text that could be a value."""
        for kind in self.strings:
            if kind:
                return kind.pop(0)
        return None

    def left(self) -> int:
        """How many values nothing has taken yet."""
        return len(self.numbers) + sum(map(len, self.strings))

    def in_results(self, name: str) -> Any:
        """What a tool gave under the name."""
        return next((found for result in self.results if (found := _under(name, result)) is not None), None)


def filled(schema: Mapping[str, Any], words: Words) -> Any:
    """A value that fits the schema, with what the words say."""
    return _value("", schema, words, schema.get("$defs") or schema.get("definitions") or {})


def kind_of(schema: Mapping[str, Any]) -> str:
    """The JSON type that a schema asks for; of several the first that is not null."""
    kinds = schema.get("type", "object" if "properties" in schema else "string")
    return str(kinds if isinstance(kinds, str) else next((kind for kind in kinds if kind != "null"), "null"))


def _value(name: str, schema: Mapping[str, Any], words: Words, definitions: Mapping[str, Any]) -> Any:
    schema = _settled(schema, definitions)
    if "enum" in schema:
        return next(iter(_named(schema["enum"], words)), schema.get("default", schema["enum"][0]))
    match kind_of(schema):
        case "object":
            return _object(schema, words, definitions)
        case "array":
            return _array(name, schema, words, definitions)
        case "integer" | "number" as kind:
            return _fitting(_amount(name, schema, words), schema, whole=kind == "integer")
        case "boolean":
            return words.speak_of(name) or bool(schema.get("default"))
        case "null":
            return None
    return _text(name, schema, words)


def _object(schema: Mapping[str, Any], words: Words, definitions: Mapping[str, Any]) -> dict[str, Any]:
    required, parts = schema.get("required", ()), schema.get("properties", {})
    values: dict[str, Any] = {}
    # What the words name comes first, so that nothing else takes its value.
    for name in sorted(parts, key=lambda name: not words.speak_of(name)):
        if name in required or _asked_for(name, _settled(parts[name], definitions), words):
            values[name] = _value(name, parts[name], words, definitions)
    return {name: values[name] for name in parts if name in values}


def _asked_for(name: str, schema: Mapping[str, Any], words: Words) -> bool:
    if words.speak_of(name) or _named(schema.get("enum", ()), words):
        return True
    return kind_of(schema) in ("integer", "number") and bool(words.numbers)


def _array(name: str, schema: Mapping[str, Any], words: Words, definitions: Mapping[str, Any]) -> list[Any]:
    if "prefixItems" in schema:
        return [_value(name, part, words, definitions) for part in schema["prefixItems"]]
    items = _settled(schema.get("items", {}), definitions)
    kind, most = kind_of(items), schema.get("maxItems")
    found: list[Any] = []
    if "enum" in items:
        kind, found = "one of these", _named(items["enum"], words)[:most]
    elif kind == "string":
        found = next((values for values in words.strings if values), [])[:most]
        words.strings = [[value for value in values if value not in found] for values in words.strings]
    left = words.left() if kind in ("object", "integer", "number") else 0
    while len(found) < schema.get("minItems", 0) or (left and (most is None or len(found) < most)):
        found.append(_value(name, items, words, definitions))
        left = words.left() if words.left() < left else 0
    return found


def _amount(name: str, schema: Mapping[str, Any], words: Words) -> float:
    said = words.given(rf"({NUMBER})\s+", name, "") or words.given("", name, rf"(?:{GIVEN}|\s+(?:of\s+)?)({NUMBER})")
    if said is not None:
        return words.taken(_number(said))
    if words.numbers:
        return words.numbers.pop(0)
    known = words.in_results(name)
    return known if isinstance(known, int | float) else schema.get("default") or 1


def _text(name: str, schema: Mapping[str, Any], words: Words) -> str:
    said = words.given("", name, rf"{GIVEN}(?:{QUOTED}|([^.,;?!\n]+?)(?=\s+and\b|[.,;?!\n]|$))")
    if said is not None:
        words.strings = [[value for value in kind if value != said] for kind in words.strings]
        return said
    known = words.in_results(name)
    if isinstance(known, str):
        return known
    found = words.next_string()
    if found is not None:
        return found
    default = schema.get("default") or schema.get("description") or name
    return words.text if ASKED_TEXT.search(name) and words.text else str(default)


def _fitting(number: float, schema: Mapping[str, Any], *, whole: bool) -> float:
    """The number, or the nearest that the schema allows."""
    low = schema.get("minimum", schema.get("exclusiveMinimum", -math.inf))
    high = schema.get("maximum", schema.get("exclusiveMaximum", math.inf))

    def allowed(value: float) -> bool:
        open_ends = (schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum"))
        return (
            low <= value <= high and value not in open_ends and math.isfinite(value) and (not whole or value % 1 == 0)
        )

    near = (number, round(number), low, high, low + 1, high - 1, (low + high) / 2)
    fit = min(filter(allowed, near), key=lambda value: abs(value - number), default=number)
    return int(fit) if whole else fit


def _settled(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema itself, where it names another or offers several."""
    if "const" in schema:
        return {**schema, "enum": [schema["const"]]}
    if "$ref" in schema:
        return _settled(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    for choices in ("anyOf", "oneOf", "allOf"):
        if choices in schema:
            chosen = next((each for each in schema[choices] if each.get("type") != "null"), {"type": "null"})
            about = {key: value for key, value in schema.items() if key in ("description", "default")}
            return {**about, **_settled(chosen, definitions)}
    return schema


def _named(values: Sequence[Any], words: Words) -> list[Any]:
    return [value for value in values if re.search(rf"\b{re.escape(str(value))}\b", words.text, re.I)]


def _strings(text: str) -> list[list[str]]:
    """The texts that could be values, of each kind a list; none is part of another."""
    kinds, taken = [], list[tuple[int, int]]()
    for pattern in (QUOTED, CODE, NAME, PHRASE):
        found = [
            match
            for match in re.finditer(pattern, text)
            if all(match.end() <= start or match.start() >= end for start, end in taken)
        ]
        taken += [match.span() for match in found]
        kinds.append([next(filter(None, (*match.groups(), match[0]))).strip() for match in found])
    return kinds


def _under(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return next((found for item in value if (found := _under(name, item)) is not None), None)
    if not isinstance(value, dict):
        return None
    return value[name] if name in value else _under(name, list(value.values()))


def _json(text: str) -> list[Any]:
    try:
        return [json.loads(text)]
    except ValueError:
        return []


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)


def _spoken(name: str) -> str:
    return r"[\s_-]".join(map(re.escape, re.split(r"[\s_-]+", name)))
