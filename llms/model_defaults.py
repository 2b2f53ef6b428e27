"""Defaults of one model: what its chat model sends where the caller gave nothing.

They stand with the model in its catalogue entry (`llms/local/models.yaml`), and apply to chat models that
`load_chat_model("local:NAME")` returns. They give way to every system message and parameter that is given.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, ChatMessage, SystemMessage
from pydantic import BaseModel, ConfigDict

from .parameters import GenerationParameters

REPETITION_CONTROL = ("repetition_penalty", "no_repeat_ngram_size")
"""Never with tools or a schema: JSON repeats its keys and punctuation, and the words of the request."""
OTHER_LIMITS = {"max_new_tokens": "max_length"}
"""A default → the parameter that, when given, stands in its place."""


class ModelDefaults(BaseModel):
    """A system text and generation parameters that were tried on one model.

    Args:
        system: the system text of a request without any system message; None for none.
        parameters: the fields of `GenerationParameters`.

    Raises:
        ValueError: an unknown parameter, or a value out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    system: str | None = None
    parameters: GenerationParameters = GenerationParameters()

    def with_system(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        """The messages with the system text, unless they have their own, which may be empty."""
        has_own = any(map(is_system, messages))
        return [*([SystemMessage(self.system)] if self.system and messages and not has_own else []), *messages]

    def missing(self, given: Mapping[str, Any], *, has_format: bool) -> dict[str, Any]:
        """The default parameters that are not given.

        Args:
            given: parameters of the model and of the request.
            has_format: whether tools are bound, or the answer has a schema.
        """
        return {
            name: value
            for name, value in self.parameters.given().items()
            if name not in given
            and OTHER_LIMITS.get(name) not in given
            and not (has_format and name in REPETITION_CONTROL)
        }


def is_system(message: BaseMessage) -> bool:
    """Whether it is a system message, in either of LangChain's forms."""
    return isinstance(message, SystemMessage) or (isinstance(message, ChatMessage) and message.role == "system")
