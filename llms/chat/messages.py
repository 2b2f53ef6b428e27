"""From what an LLM gave to LangChain's chat messages: blanks, tool calls, figures, and what is told of the answer.

A whole answer becomes an `AIMessage`, the pieces of a streamed one `AIMessageChunk`s that add up to the same. Tool calls
are read out of the text, or come from a server that tells them apart (`generation_info["tool_calls"]`).
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import GenerationChunk
from langchain_core.utils.json import parse_partial_json
from sagechain.prompts import NO_ESCAPING, Escaping, ToolCallFormat
from sagechain.prompts.tool_calls import AnswerPart, ToolCallReader

from ..generation import join_tool_calls

ERRORS = "tool_call_errors"
"""In `response_metadata`: what is wrong with the invalid tool calls, by their ids. LangChain's chunks lose it."""

NO_ENDS = ("]", "}", '"]', '"}', '\\"]', '\\"}')
"""One of these makes of any part of an object what is none: a bracket that does not fit, after the end of a string."""

MOST_TRIED = 1_000
"""Characters of an invalid call that LangChain may try to mend: it takes the square of their time."""


class Replies:
    """Makes the messages of one call.

    Args:
        about: what every message tells of its model.
        asked_tokens: counts the tokens of the prompt, where the server does not tell; None where nobody can.
        counted: the tokens of a text, likewise.
        use: the tools that the answer may call.
        escaping: what was escaped in the prompt; arguments that repeat it are restored.

    Attributes:
        shown: the text of the chunks so far.
    """

    def __init__(
        self,
        about: Mapping[str, Any],
        asked_tokens: Callable[[], int | None],
        counted: Callable[[str], int | None],
        use: ToolCallFormat | None = None,
        escaping: Escaping = NO_ESCAPING,
    ) -> None:
        self._about, self._asked_tokens, self._counted = about, asked_tokens, counted
        self._use, self._escaping = use, escaping
        self._reader = None if use is None else ToolCallReader(use, escaping)
        self.shown = ""
        self._held, self._text = "", ""
        self._begun = self._begun_to_show = False
        self._figures: dict[str, Any] = {}
        self._calls = 0
        self._deltas, self._begun_calls = list[dict[str, Any]](), set[int]()
        self._errors: dict[str, str] = {}
        self._told = False

    def message(self, answer: GenerationChunk) -> AIMessage:
        """A whole answer."""
        info = answer.generation_info or {}
        text, calls, invalid = self._told_apart(answer.text, info)
        errors = {each["id"]: each["error"] for each in invalid}
        return AIMessage(
            content=text.strip(),
            tool_calls=calls,
            invalid_tool_calls=invalid,
            response_metadata={**_reason(info), **self._about, **({ERRORS: errors} if errors else {})},
            usage_metadata=self._usage(info, answer.text),
        )

    def _told_apart(self, text: str, info: Mapping[str, Any]) -> tuple[str, list[ToolCall], list[InvalidToolCall]]:
        parts: list[AnswerPart] = [text]
        if self._use is not None:
            reader = ToolCallReader(self._use, self._escaping)
            parts = [*reader.feed(text), *reader.flush(truncated=_is_cut(info))]
        parts += _served(info.get("tool_calls", ()), cut=_is_cut(info))
        calls, invalid = list[Any](), list[Any]()
        for part in parts:
            if not isinstance(part, str):
                # Which of LangChain's two kinds it is, its `type` says.
                (calls if part["type"] == "tool_call" else invalid).append(part)
        return "".join(part for part in parts if isinstance(part, str)), calls, invalid

    def chunk(self, piece: GenerationChunk) -> AIMessageChunk | None:
        """A piece of a streamed answer; None where there is nothing to show yet. One at least is shown."""
        info = piece.generation_info or {}
        self._text += piece.text
        self._figures |= {
            name: info[name] for name in ("input_tokens", "output_tokens", "finish_reason") if name in info
        }
        text, calls = self._shown_of([piece.text] if self._reader is None else self._reader.feed(piece.text))
        calls += [self._served_chunk(each) for each in info.get("tool_calls", ())]
        text = self._without_blanks_around(text)
        if not text and not calls and "finish_reason" not in info and self._begun_to_show:
            return None
        self._begun_to_show = True
        self.shown += text
        metadata = {**_reason(info), **self._about} if "finish_reason" in info and not self._told else {}
        self._told = self._told or bool(metadata)
        return AIMessageChunk(content=text, tool_call_chunks=calls, response_metadata=metadata)

    def end(self) -> AIMessageChunk | None:
        """What is left to tell when a stream has ended: calls that were held, and its usage, of which servers tell in any
        piece, some in each.
        """
        text, calls = "", list[ToolCallChunk]()
        if self._reader is not None:
            text, calls = self._shown_of(self._reader.flush(truncated=_is_cut(self._figures)))
            text = self._without_blanks_around(text)
            self.shown += text
        calls += self._spoilt()
        usage = self._usage(self._figures, self._text)
        metadata = {**({} if self._told else self._about), **({ERRORS: self._errors} if self._errors else {})}
        if usage is None and not (text or calls or metadata):
            return None
        return AIMessageChunk(content=text, tool_call_chunks=calls, usage_metadata=usage, response_metadata=metadata)

    def _shown_of(self, parts: Iterable[AnswerPart]) -> tuple[str, list[ToolCallChunk]]:
        text, calls = "", list[ToolCallChunk]()
        for part in parts:
            if isinstance(part, str):
                text += part
                continue
            calls.append(self._call_chunk(part))
            self._calls += 1
        return text, calls

    def _call_chunk(self, call: ToolCall | InvalidToolCall) -> ToolCallChunk:
        if call["type"] == "tool_call":
            args = json.dumps(call["args"], ensure_ascii=False)
        else:
            self._errors[str(call["id"])] = str(call["error"])
            args = _no_object(call["args"] or "")
        return tool_call_chunk(name=call["name"], args=args, id=call["id"], index=self._calls)

    def _served_chunk(self, delta: Mapping[str, Any]) -> ToolCallChunk:
        begun = delta["index"] in self._begun_calls
        self._begun_calls.add(delta["index"])
        known = {**delta, "id": None if begun else _id_of(delta)}
        self._deltas.append(known)
        return tool_call_chunk(name=known["name"], args=known["arguments"], id=known["id"], index=known["index"])

    def _spoilt(self) -> list[ToolCallChunk]:
        """The ends of a server's calls that are not whole: LangChain's chunks would mend whatever can be an object."""
        chunks, served = [], join_tool_calls(self._deltas)
        for delta, call in zip(served, _served(served, cut=_is_cut(self._figures)), strict=True):
            if call["type"] == "invalid_tool_call":
                self._errors[str(call["id"])] = str(call["error"])
                end = next((end for end in ("", *NO_ENDS) if not _is_object(f"{call['args']}{end}")), NO_ENDS[0])
                chunks += [tool_call_chunk(name=None, args=end, id=None, index=delta["index"])] if end else []
        return chunks

    def _without_blanks_around(self, text: str) -> str:
        """What may be shown: blanks are kept back until more comes, so that the pieces come to what `message` gives."""
        text = self._held + text
        text = text if self._begun else text.lstrip()
        shown = text.rstrip()
        self._held, self._begun = text[len(shown) :], self._begun or bool(shown)
        return shown

    def _usage(self, info: Mapping[str, Any], text: str) -> UsageMetadata | None:
        """The server's figures, and ours where it gives none but the model's tokenizer is at hand."""
        asked = info["input_tokens"] if "input_tokens" in info else self._asked_tokens()
        answered = info["output_tokens"] if "output_tokens" in info else self._counted(text)
        if asked is None or answered is None:
            return None
        return UsageMetadata(input_tokens=asked, output_tokens=answered, total_tokens=asked + answered)


def _reason(info: Mapping[str, Any]) -> dict[str, Any]:
    return {"finish_reason": info["finish_reason"]} if "finish_reason" in info else {}


def _is_cut(info: Mapping[str, Any]) -> bool:
    return bool(info.get("finish_reason") == "length")


def _served(calls: Iterable[Mapping[str, Any]], *, cut: bool) -> list[ToolCall | InvalidToolCall]:
    """A server's calls; one whose arguments are no object is invalid, and a last one that the token limit cut."""
    calls = list(calls)
    return [_served_call(call, cut=cut and call is calls[-1]) for call in calls]


def _served_call(call: Mapping[str, Any], *, cut: bool) -> ToolCall | InvalidToolCall:
    try:
        args = json.loads(call["arguments"] or ("" if cut else "{}"), strict=False)
        if not isinstance(args, dict):
            raise ValueError("they are no JSON object")
        if not call["name"]:
            raise ValueError("they come without the name of a tool")
    except (ValueError, RecursionError) as error:
        what = "the token limit cut them" if cut else str(error)
        what = f"arguments: {what}"
        return invalid_tool_call(name=call["name"], args=call["arguments"], id=_id_of(call), error=what)
    return tool_call(name=call["name"], args=args, id=_id_of(call))


def _id_of(call: Mapping[str, Any]) -> str:
    """The server's, or one for a call that has none: its result has to name it."""
    return str(call["id"] or f"call_{uuid4().hex}")


def _no_object(raw: str) -> str:
    """What a model wrote, so that LangChain's chunks do not take it for arguments."""
    return json.dumps(raw, ensure_ascii=False) if len(raw) > MOST_TRIED or _is_object(raw) else raw


def _is_object(raw: str) -> bool:
    """Whether LangChain's chunks take this for arguments: they mend it, and nothing at all is an empty object."""
    try:
        return not raw or isinstance(parse_partial_json(raw), dict)
    except (ValueError, RecursionError):
        return False
