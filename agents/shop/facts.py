"""The figures that a conversation may name: those of the sheets and tool results that it has seen.

    facts = Facts(["Price: 189 dollars\\nFeatures: 2 people, 2.1 kg"])
    facts.unfounded("It weighs 2.1 kilograms and costs $99.")    # "$99"

A figure is an amount of money, or a number with a unit. Whether a figure is told of the right product is not known here.
"""

import re
from collections.abc import Iterable, Iterator

# Every unit by the names it goes by.
_UNITS = {
    "dollar": "dollar dollars usd bucks",
    "euro": "euro euros eur",
    "pound": "pound pounds gbp lb lbs",
    "cent": "cent cents",
    "percent": "percent",
    "kg": "kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes",
    "g": "g gram grams gramme grammes",
    "ounce": "oz ounce ounces",
    "litre": "l litre litres liter liters",
    "ml": "ml millilitre millilitres milliliter milliliters",
    "mm": "mm millimetre millimetres millimeter millimeters",
    "cm": "cm centimetre centimetres centimeter centimeters",
    "m": "m metre metres meter meters",
    "km": "km kilometre kilometres kilometer kilometers",
    "inch": "inch inches",
    "foot": "foot feet ft",
    "degree": "degree degrees celsius fahrenheit",
    "second": "second seconds",
    "minute": "minute minutes min mins",
    "hour": "hour hours hr hrs",
    "day": "day days",
    "week": "week weeks",
    "month": "month months",
    "year": "year years",
    "person": "person persons people",
    "lumen": "lumen lumens lm",
    "watt": "watt watts w",
    "volt": "volt volts v",
    "piece": "piece pieces",
    "star": "star stars",
}
_SIGNS = {"%": "percent", "°": "degree", "$": "dollar", "€": "euro", "£": "pound"}
_UNIT_OF = {name: unit for unit, names in _UNITS.items() for name in names.split()} | _SIGNS
_SMALL = """one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen""".split()  # noqa: SIM905
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905
_WORDS = {word: value for value, word in enumerate(_SMALL, 1)} | {word: 10 * n for n, word in enumerate(_TENS, 2)}
_WORD = rf"(?:{'|'.join(sorted([*_WORDS, 'hundred', 'thousand'], key=len, reverse=True))})"
_NUMBER = rf"(?:(?<![\w)])-?\d[\d,]*(?:\.\d+)?|\b{_WORD}(?:[\s-](?:and\s)?{_WORD})*\b)"
_UNIT = "|".join(sorted(set(_UNIT_OF) - set(_SIGNS), key=len, reverse=True))
_EMPHASIS = str.maketrans("", "", "*_`")
_FIGURE = re.compile(
    rf"(?P<sign>[$€£]|\b(?:usd|eur|gbp)\b)\s?(?P<money>{_NUMBER})"
    rf"|(?P<stock>{_NUMBER})\s(?:of\s[\w\s-]+?\s)?(?:are\s)?(?:left(?!\s\w)|in\sstock)"
    rf"|(?P<number>{_NUMBER})[\s-]?(?P<unit>[%°]|[$€£](?!\s?\d)|(?:{_UNIT})\b)"
    rf"|\b(?:price[ds]?|costs?)(?:\s(?:of|is|at|only|just|about|around))*:?\s(?P<bare>{_NUMBER})"
    rf"|\border\s(?:number\s)?#?(?P<order>\d{{3,}})",
    re.IGNORECASE,
)


class Facts:
    """The figures in some texts.

    Args:
        texts: what a figure may be taken from.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._figures = {figure for text in texts for _, figure in _figures(text)}

    def unfounded(self, text: str) -> str | None:
        """The first figure of a text that is none of these; None where all are."""
        return next((said for said, figure in _figures(text) if figure not in self._figures), None)


def _figures(text: str) -> Iterator[tuple[str, tuple[str, str]]]:
    for found in _FIGURE.finditer(text.translate(_EMPHASIS)):
        number = next(found[name] for name in ("money", "stock", "number", "bare", "order") if found[name])
        yield found[0], (_plain(number), _unit(found))


def _unit(found: re.Match[str]) -> str:
    if found["unit"]:
        return _UNIT_OF[found["unit"].lower()]
    if found["stock"]:
        return "stock"
    return "order" if found["order"] else _UNIT_OF[(found["sign"] or "$").lower()]


def _plain(number: str) -> str:
    """`3,000` and `3000.00` are 3000, and so is "three thousand"."""
    if number[0].isalpha():
        return str(_spoken(re.findall(_WORD, number.lower())))
    value = number.rstrip(",").replace(",", "")
    return value.rstrip("0").rstrip(".") if "." in value else value


def _spoken(words: list[str]) -> int:
    """`["one", "hundred", "eighty", "nine"]` is 189."""
    thousands = below = 0
    for word in words:
        if word == "hundred":
            below = max(below, 1) * 100
        elif word == "thousand":
            thousands, below = max(below, 1) * 1000, 0
        else:
            below += _WORDS[word]
    return thousands + below
