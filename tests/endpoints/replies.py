"""Replies of AWS that are late: descriptions of an earlier state, at the border of boto3."""

from collections.abc import Callable
from typing import Any

import botocore.client
import pytest

Reply = Callable[[Callable[[], dict[str, Any]], dict[str, Any]], dict[str, Any]]
"""A function of the real request and its parameters that returns the reply, or raises."""


def replace_replies(monkeypatch: pytest.MonkeyPatch, operation: str, reply: Reply) -> None:
    """Let `reply` answer every request for an operation."""
    real = botocore.client.BaseClient._make_api_call

    def call(self: Any, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
        def send() -> dict[str, Any]:
            response: dict[str, Any] = real(self, name, parameters)
            return response

        return reply(send, parameters) if name == operation else send()

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)


def delayed(replies: int, earlier: Callable[[], dict[str, Any]]) -> Reply:
    """So many replies of `earlier`, then the real ones."""
    remaining = iter(range(replies))

    def reply(send: Callable[[], dict[str, Any]], parameters: dict[str, Any]) -> dict[str, Any]:
        return earlier() if next(remaining, None) is not None else send()

    return reply
