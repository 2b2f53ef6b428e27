"""The result of a chain of thought."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Reasoning(BaseModel):
    """An answer and how it was reached.

    `answer`: None if the model's text contains no answer. `text` is the text up to the model's own next question;
    `steps` are its lines. `votes` counts the sampled answers. `prompts` are the texts that were sent (a chat model gets the
    same as messages). `usage` contains `calls`, `cut` (truncated answers), and `input_tokens` and `output_tokens` where the
    model reports them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    answer: str | None
    text: str
    steps: list[str]
    votes: dict[str, int]
    prompts: list[str]
    usage: dict[str, Any]
