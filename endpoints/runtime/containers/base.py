"""What every container does: answer a body with a status and bytes, and turn what goes wrong into a refusal.

A container knows nothing of SageMaker: `server.py` puts SageMaker's framing around its `Reply`.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sagechain.llms.errors import LLMError
from sagechain.llms.text_model import TextModel


@dataclass(frozen=True)
class Reply:
    """What a container answers: `body` is whole, or a stream."""

    status: int
    content_type: str
    body: bytes | AsyncGenerator[bytes, None]


class Container(ABC):
    """A model and the wire that it speaks."""

    def __init__(self, llm: TextModel) -> None:
        self.llm = llm

    async def invoke(self, body: bytes, attributes: str) -> Reply:
        """Answer one request. What the model refuses is a reply too."""
        try:
            return await self.answer(body, attributes)
        except (ValueError, LLMError) as error:
            return self.refusal(422 if isinstance(error, ValueError) else 500, str(error))

    @abstractmethod
    async def answer(self, body: bytes, attributes: str) -> Reply:
        """Answer one request; a ValueError or LLMError becomes a refusal."""

    def refusal(self, status: int, message: str) -> Reply:
        """An error, in the form of this container."""
        return json_reply({"error": message, "error_type": "validation" if status < 500 else "generation"}, status)


def greedy(given: dict[str, Any]) -> dict[str, Any]:
    """Without a temperature, or anything else that asks for chance, the likeliest token is taken."""
    return given if given else {"do_sample": False}


def json_reply(value: Any, status: int = 200) -> Reply:
    """A whole reply in JSON."""
    return Reply(status, "application/json", json.dumps(value, ensure_ascii=False).encode())


def complaints(error: ValidationError) -> str:
    """What is wrong with a body, in a line."""
    return "; ".join(f"`{'.'.join(map(str, each['loc']))}`: {each['msg']}" for each in error.errors())
