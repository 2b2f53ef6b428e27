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
_UNIT_OF = {name: unit for unit, names in _UNITS.items() for name in names.split()} | {"%": "percent", "°": "degree"}
_MONEY = {"$": "dollar", "€": "euro", "£": "pound"}
_WORDS = "one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
_NUMBER = rf"(?:(?<![\w)])-?\d[\d,]*(?:\.\d+)?|\b(?:{'|'.join(_WORDS)})\b)"
_UNIT = "|".join(sorted(set(_UNIT_OF) - {"%", "°"}, key=len, reverse=True))
_FIGURE = re.compile(
    rf"(?P<sign>[$€£])\s?(?P<money>{_NUMBER})"
    rf"|(?P<stock>{_NUMBER})\s(?:of\s[\w\s-]+?\s)?(?:are\s)?(?:left(?!\s\w)|in\sstock)"
    rf"|(?P<number>{_NUMBER})[\s-]?(?P<unit>[%°]|(?:{_UNIT})\b)"
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
    for found in _FIGURE.finditer(text):
        number = next(found[name] for name in ("money", "stock", "number", "bare", "order") if found[name])
        yield found[0], (_plain(number), _unit(found))


def _unit(found: re.Match[str]) -> str:
    if found["unit"]:
        return _UNIT_OF[found["unit"].lower()]
    if found["stock"]:
        return "stock"
    return "order" if found["order"] else _MONEY.get(found["sign"] or "$", "dollar")


def _plain(number: str) -> str:
    """`3,000` and `3000.00` are 3000, and so are words numbers."""
    lower = number.lower()
    if lower in _WORDS:
        return str(_WORDS.index(lower) + 1)
    value = lower.rstrip(",").replace(",", "")
    return value.rstrip("0").rstrip(".") if "." in value else value
