"""The inference parameters: one name, one meaning and one range each, for every wire and engine.

`GenerationParameters` is a set of them. Every LLM and chat model of sagechain has the same fields (`GenerationFields`), so
they may be given at construction, with a request, or through LangChain's `configurable_fields`. `max_tokens`, which
LangChain's other models have, is accepted everywhere as another name of `max_new_tokens`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self, Unpack

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from sagechain.prompts import check_known

from .field_errors import in_one_line
from .keywords import ParameterKeywords, names


class GenerationFields(BaseModel):
    """The parameters as fields, with their ranges.

    `None` is not sent, with one exception: whether tokens are sampled is always sent to a server that accepts `do_sample`
    (`tgi`, `lmi`, `hf`), so without any sampling parameter the answer is greedy.
    """

    model_config = ConfigDict(use_attribute_docstrings=True, hide_input_in_errors=True)

    max_length: Annotated[int | None, Field(ge=1, strict=True)] = None
    """Maximum number of tokens of prompt and answer together."""
    max_new_tokens: Annotated[int | None, Field(ge=1, strict=True)] = None
    """Maximum number of tokens of the answer."""
    min_length: Annotated[int | None, Field(ge=0, strict=True)] = None
    """Minimum number of tokens of prompt and answer together."""
    num_beams: Annotated[int | None, Field(ge=1, strict=True)] = None
    """Number of beams of a beam search; 1 is off."""
    early_stopping: Annotated[bool | None, Field(strict=True)] = None
    """End the beam search as soon as `num_beams` answers are complete."""
    length_penalty: Annotated[float | None, Field(strict=True, allow_inf_nan=False)] = None
    """In beam search: above 0 favours longer answers, below 0 shorter ones."""
    no_repeat_ngram_size: Annotated[int | None, Field(ge=0, strict=True)] = None
    """Length in tokens of the sequences that may not occur twice; 0 is off."""
    repetition_penalty: Annotated[float | None, Field(gt=0, strict=True, allow_inf_nan=False)] = None
    """Above 1 makes tokens that occurred already less likely; 1 is off."""
    do_sample: Annotated[bool | None, Field(strict=True)] = None
    """Sample the next token instead of taking the likeliest. Follows from `temperature, top_k, top_p` if unset."""
    temperature: Annotated[float | None, Field(ge=0, strict=True, allow_inf_nan=False)] = None
    """Randomness of sampling; 0 always takes the likeliest token (greedy)."""
    top_k: Annotated[int | None, Field(ge=0, strict=True)] = None
    """Sample among this number of likeliest tokens; 0 is off."""
    top_p: Annotated[float | None, Field(gt=0, le=1, strict=True)] = None
    """Sample among the likeliest tokens that together have this probability; 1 is off."""
    num_return_sequences: Annotated[int | None, Field(ge=1, strict=True)] = None
    """Number of answers to one prompt."""
    return_full_text: Annotated[bool | None, Field(strict=True)] = None
    """Put the prompt before the answer."""
    stop: tuple[str, ...] | None = None
    """Strings at which the answer ends; they are not part of it."""
    seed: Annotated[int | None, Field(ge=0, strict=True)] = None
    """Makes sampling repeatable, as far as the server supports it."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise in_one_line(error, type(self).model_fields) from None

    @field_validator("stop", mode="before")
    @classmethod
    def _stop_strings(cls, value: object) -> object:
        return None if value is None else stop_strings(value)

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        answers, beams = self.num_return_sequences or 1, self.num_beams or 1
        if answers > beams and not self.samples:
            raise ValueError(
                f"num_return_sequences={answers} needs sampling (temperature above 0) or num_beams of as many; "
                "without either every answer is the same"
            )
        return self

    @property
    def samples(self) -> bool:
        """Whether tokens are sampled; temperature 0 is greedy whatever else is set."""
        if self.temperature == 0:
            return False
        if self.do_sample is not None:
            return self.do_sample
        # A value that means "off" does not turn sampling on.
        return self.temperature is not None or bool(self.top_k) or self.top_p not in (None, 1)

    def given(self) -> dict[str, Any]:
        """The parameters that are set, by name."""
        return {name: value for name in PARAMETER_NAMES if (value := getattr(self, name)) is not None}


class GenerationParameters(GenerationFields):
    """A set of inference parameters that fit together.

    Raises:
        ValueError: a name that is unknown, or a value of the wrong type or out of range; the message names the field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    if TYPE_CHECKING:

        def __init__(self, **parameters: Unpack[ParameterKeywords]) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            check_known("parameter", values, names(ParameterKeywords))
            values = with_one_name(values)
        return values

    def updated(self, changes: Mapping[str, Any]) -> "GenerationParameters":
        """These parameters with some replaced, validated again."""
        return GenerationParameters(**(self.given() | with_one_name(changes))) if changes else self


def stop_strings(value: object) -> tuple[str, ...]:
    """The stop strings in one string or a list of them, each once.

    Raises:
        ValueError: neither of these, or a string that is empty or not valid text.
    """
    strings = [value] if isinstance(value, str) else value
    if not isinstance(strings, list | tuple) or not all(isinstance(item, str) for item in strings):
        raise ValueError(f"stop: give a string or a list of strings, not {value!r}")
    if "" in strings:
        raise ValueError("stop: an empty stop string would end every answer before it begins")
    for item in strings:
        try:
            item.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"stop: {item!a} is not valid text at character {error.start}") from error
    return tuple(dict.fromkeys(strings))


def with_one_name(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with `max_new_tokens` under this name, also where LangChain's word `max_tokens` is given.

    Raises:
        ValueError: both are given, and differ.
    """
    values = dict(values)
    if (limit := values.pop("max_tokens", None)) is None:
        return values
    other = values.get("max_new_tokens")
    if other is not None and other != limit:
        raise ValueError(f"max_tokens: {limit!r} and max_new_tokens={other!r} are one setting; give one of them")
    return {**values, "max_new_tokens": limit}


PARAMETER_NAMES = tuple(GenerationFields.model_fields)

# Values without effect: they may be left out if a wire does not have the parameter, or if its servers reject the value.
OFF: dict[str, Any] = {
    "min_length": 0,
    "num_beams": 1,
    "early_stopping": False,
    "no_repeat_ngram_size": 0,
    "repetition_penalty": 1,
    "top_k": 0,
    "top_p": 1,
    "num_return_sequences": 1,
    "return_full_text": False,
}
