"""Find the answer in what a model wrote, and compare it with the truth.

    extract_answer("2 + 2 = 4. The answer is 4.\\nQ: Next", "number")   # "4"
    same_answer("$1,000.00", "1000", "number")                           # True

Models that continue text go on with a next question of their own: everything from the next `Q:` on is cut off first.
"""

import re
from decimal import Decimal

from sagechain.prompts.library import AnswerKind

_NEXT_QUESTION = re.compile(r"^\s*Q:", re.MULTILINE)
_PARAGRAPHS = re.compile(r"\n\s*\n")
_ANSWER = re.compile(r"\banswer(?:\s*\([^)]*\))?\s*(?:is|:|=)\s*:?\s*", re.IGNORECASE)
_NUMBER = re.compile(r"-?(?:\$\s*)?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)")
_YES_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_SEPARATORS = re.compile(r"\s*,\s*(?:and\s+)?|\s+and\s+|\s*;\s*")
_AROUND = " \t\n\"'`*.!"


def before_next_question(text: str) -> str:
    """The text up to where the model begins a question of its own."""
    return _NEXT_QUESTION.split(text, maxsplit=1)[0].rstrip()


def extract_answer(text: str, kind: AnswerKind, *, announced: bool = False) -> str | None:
    """The answer in a model's text; None where there is none.

    It is looked for behind "the answer is": in the first paragraph that says so, behind the last time it does. A number,
    or a yes or no, that nothing announces is taken where it stands last, unless only what is `announced` counts.
    """
    text = before_next_question(text)
    for paragraph in _PARAGRAPHS.split(text):
        stated = _ANSWER.split(paragraph)
        if len(stated) > 1:
            return _stated(stated[-1].split("\n", 1)[0], kind)
    if announced:
        return None
    if kind == "number":
        return _last(_NUMBER.findall(text))
    if kind == "yes-no":
        return _last(_YES_NO.findall(text))
    return None


def same_answer(found: str | None, truth: str, kind: AnswerKind) -> bool:
    """Whether an answer says the same as the truth: numbers by value, lists item by item, words whatever their case."""
    return found is not None and _value(found, kind) == _value(truth, kind)


def _stated(rest: str, kind: AnswerKind) -> str | None:
    if kind == "number":
        # "The answer is 3 * 6 = 18": what counts stands behind the last equals sign of the sentence.
        sentence = re.split(r"\.(?=\s|$)", rest, maxsplit=1)[0]
        numbers = _NUMBER.findall(sentence.rpartition("=")[2])
        return numbers[0] if numbers else None
    if kind == "yes-no":
        found = _YES_NO.search(rest)
        return found[1] if found else None
    if kind == "word":
        words = rest.strip(_AROUND).split()
        return words[0].strip(_AROUND + ",") or None if words else None
    return rest.split(". ", 1)[0].strip(_AROUND) or None


def _value(answer: str, kind: AnswerKind) -> object:
    if kind == "number":
        digits = re.sub(r"[$,\s]", "", answer)
        return Decimal(digits) if re.fullmatch(r"-?(\d+(\.\d+)?|\.\d+)", digits) else answer
    if kind == "list":
        return [item.strip(_AROUND + "[]").casefold() for item in _SEPARATORS.split(answer.strip(_AROUND + "[]"))]
    return answer.strip(_AROUND + ",").casefold()


def _last(found: list[str]) -> str | None:
    return found[-1] if found else None
