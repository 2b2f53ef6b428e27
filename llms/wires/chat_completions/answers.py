"""What a chat completion's message or delta contains: text, reasoning, a refusal, tool calls, and why the answer ended.

Servers differ: the text is a string, or a list of parts, or null beside reasoning or a refusal; reasoning is called
`reasoning_content` (DeepSeek, vLLM) or `reasoning` (vLLM since 0.12, Ollama); the finish reason stands beside the message,
inside it, or beside the choices.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..base import is_count
from ..wire_error import FAILURES, failed_answer, unexpected_reply

NOT_TRUNCATED = ("stop", "eos_token", "stop_sequence", "end_turn", "tool_calls", "function_call")
"""Finish reasons of an answer that is not truncated, Text Generation Inference's own among them."""
TRUNCATED = ("length", "max_tokens", "model_length")


def message_content(message: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The text, and by name what stands beside it (`reasoning_content`, `refusal`). A refusal is the text as well.

    Raises:
        WireError: content of another kind.
    """
    texts: dict[str, str] = {"text": "", "reasoning_content": "", "refusal": ""}
    for kind, text in _parts(message):
        texts[kind] += text
    text = texts.pop("text") + texts["refusal"]
    return text, {name: value for name, value in texts.items() if value}


def _parts(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    reasoning = message.get("reasoning_content") or message.get("reasoning")  # some servers send both, equal
    if isinstance(reasoning, str):
        yield "reasoning_content", reasoning
    content = message.get("content")
    for part in content if isinstance(content, list) else [] if content is None else [content]:
        yield _part(part, message)
    refusal = message.get("refusal")
    if isinstance(refusal, str):
        yield "refusal", refusal


def _part(part: Any, message: Mapping[str, Any]) -> tuple[str, str]:
    if isinstance(part, str):
        return "text", part
    kind = part.get("type", "text") if isinstance(part, dict) else None
    if kind in ("text", "output_text") and isinstance(part.get("text"), str | None):
        return "text", part.get("text") or ""
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return "refusal", part["refusal"]
    if kind in ("thinking", "reasoning"):
        thought = part.get(kind) or part.get("text") or ""
        pieces = thought if isinstance(thought, list) else [thought]
        texts: list[Any] = [piece.get("text") if isinstance(piece, dict) else piece for piece in pieces]
        if all(isinstance(text, str) for text in texts):
            return "reasoning_content", "".join(texts)
    raise unexpected_reply(message)


def finish_reason(*places: Mapping[str, Any]) -> str | None:
    """The first finish reason in these places, in OpenAI's words. Raises `WireError` if the container failed."""
    for place in places:
        reason = place.get("finish_reason")
        if not isinstance(reason, str | None):
            raise unexpected_reply(place)
        if reason:
            reason = reason.lower()  # Gemini's servers send STOP
            if reason in FAILURES:
                raise failed_answer(reason)
            return "length" if reason in TRUNCATED else reason
    return None


def finish_info(reason: str | None, *, has_tool_calls: bool) -> dict[str, str]:
    """The finish reason; some servers send `stop` although there are tool calls."""
    if reason in NOT_TRUNCATED:
        reason = "tool_calls" if has_tool_calls else "stop"
    return {"finish_reason": reason} if reason else {}


def usage(reply: Mapping[str, Any]) -> dict[str, int]:
    """The token counts that a reply reports."""
    counts = reply.get("usage")
    if not isinstance(counts, dict):
        return {}
    names = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
    return {ours: counts[theirs] for ours, theirs in names.items() if is_count(counts.get(theirs))}
