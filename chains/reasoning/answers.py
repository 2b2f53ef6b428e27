"""Find the answer in a model's text, and compare it with the correct one.

    extract_answer("2 + 2 = 4. The answer is 4.\\nQ: Next", "number")   # "4"
    same_answer("$1,000.00", "1000", "number")                           # True

Models that continue text often add a next question of their own: everything from the next `Q:` on is removed first.
"""

import re
from decimal import Decimal

from sagechain.prompts.library import AnswerKind

_NEXT_QUESTION = re.compile(r"^[^\S\n]*+Q:", re.MULTILINE)
_PARAGRAPHS = re.compile(r"\n\s*\n")
_ANSWER = re.compile(r"\banswer(?:\s*+\([^()]{0,200}\))?\s*+(?:is|:|=)\s*+:?\s*+", re.IGNORECASE)
_NUMBER = re.compile(r"-?(?:\$\s*)?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)")
_YES_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_SEPARATORS = re.compile(r"[,;](?:\s*+and(?=\s))?|(?<=\s)and(?=\s)")
_AROUND = " \t\n\"'`*.!"


def before_next_question(text: str) -> str:
    """The text before the model's own next question."""
    return _NEXT_QUESTION.split(text, maxsplit=1)[0].rstrip()


def extract_answer(text: str, kind: AnswerKind, *, announced: bool = False) -> str | None:
    """The answer in a model's text; None if it contains no answer.

    It is the text after "the answer is": in the first paragraph with these words, after their last occurrence. Without
    them, the last number, or the last yes or no, is the answer, unless only an `announced` answer counts.
    """
    text = before_next_question(text)
    for paragraph in _PARAGRAPHS.split(text):
        parts = _ANSWER.split(paragraph)
        if len(parts) > 1:
            return _announced_answer(parts[-1].split("\n", 1)[0], kind)
    if announced:
        return None
    if kind == "number":
        return _last(_NUMBER.findall(text))
    if kind == "yes-no":
        return _last(_YES_NO.findall(text))
    return None


def same_answer(found: str | None, truth: str, kind: AnswerKind) -> bool:
    """Whether an answer equals the correct one: numbers by value, lists item by item, words ignoring case."""
    return found is not None and _value(found, kind) == _value(truth, kind)


def _announced_answer(rest: str, kind: AnswerKind) -> str | None:
    if kind == "number":
        # "The answer is 3 * 6 = 18": the value is after the last equals sign of the sentence.
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
        return [
            item.strip().strip(_AROUND + "[]").casefold() for item in _SEPARATORS.split(answer.strip(_AROUND + "[]"))
        ]
    return answer.strip(_AROUND + ",").casefold()


def _last(found: list[str]) -> str | None:
    return found[-1] if found else None
