"""What a chain of thought gives back."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Reasoning(BaseModel):
    """An answer, and how it came about.

    `answer` is None where the model gave none. `text` is what the model wrote, up to a next question of its own; `steps`
    are its lines. `votes` counts the answers that were drawn. `prompts` are the texts that were sent (to a chat model
    they go as messages). `usage` holds `calls`, `cut` (answers that ran into the token limit), and `input_tokens` and
    `output_tokens` where the model counts them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer: str | None
    text: str
    steps: list[str]
    votes: dict[str, int]
    prompts: list[str]
    usage: dict[str, Any]
