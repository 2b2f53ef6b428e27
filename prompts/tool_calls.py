"""Read the tool calls in what a model wrote.

    reader = ToolCallReader(use)
    for piece in pieces:
        for part in reader.feed(piece):   # text, ToolCall or InvalidToolCall
            ...
    for part in reader.flush(cut=False):
        ...

Whatever the pieces, the parts add up to the same. Text that can't begin a call is given at once, a call as soon as its last
bracket is there. Nothing is lost and nothing raises: what was meant as a call but can't be trusted (cut short, an unknown
name, arguments that don't fit) is an `InvalidToolCall` with the text as it stood and an error that the model can act on.
The forms are in `tool_forms.py`, the envelopes in `tool_envelopes.py`, what is mended in `tool_json.py`, and how arguments
are made to fit in `tool_arguments.py`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from langchain_core.messages import InvalidToolCall, ToolCall
from langchain_core.messages.tool import invalid_tool_call, tool_call
from sagechain.prompts import tool_forms as forms
from sagechain.prompts.neutralise import Tags
from sagechain.prompts.shapes import ToolUse
from sagechain.prompts.tool_envelopes import KnownTools, Written, written
from sagechain.prompts.tool_forms import MORE, Action, More
from sagechain.prompts.tool_json import Extent, extent, value

OPEN, CLOSE = "<tool_call>", "</tool_call>"
CUT = "the answer was cut at the token limit inside this call; write it again, shorter"

Part = str | ToolCall | InvalidToolCall

_TRIGGER = re.compile(r"[<\[{]|```|`{1,2}\Z|^[^\S\n]*(?=[\w*])", re.MULTILINE)
_MAY_END = re.compile(r"[}\])>`\n]")
_LINE_END = re.compile(r"[^\S\n]*[;.`\]]*[^\S\n]*(?:\n|<|```|\Z)")
_BLANK_LINE = re.compile(r"\n\n")
_STEP = re.compile(r"\**(?:Observation|Thought|Action|Final Answer)\b", re.IGNORECASE)


MOST_BRACKETS = 64  # opened in a text that is still read for calls without the name of a tool


@dataclass(frozen=True)
class _Around:
    """What is open around a call.

    Attributes:
        explicit: a tag or a list, which says that calls are in it.
        fenced: a fence.
        name: the tool that the tag names.
        empty: no call has stood in it.
    """

    explicit: bool = False
    fenced: bool = False
    name: str | None = None
    empty: bool = False


@dataclass(frozen=True)
class _Found:
    """The parts of a form, up to `end`."""

    parts: list[Part]
    end: int
    around: _Around = _Around()


class ToolCallReader:
    """Tells calls from text, whatever pieces the text comes in.

    Args:
        use: the tools, and which of them may be called.
        tags: a family's tags; where they were neutralised in what the model read, arguments that repeat them are restored.
    """

    def __init__(self, use: ToolUse, tags: Tags | None = None) -> None:
        self._known, self._parallel, self._tags = KnownTools(use), use.parallel, tags
        self._held = ""
        self._around: _Around | None = None
        self._at_line_start = True
        self._any, self._valid = False, False
        self._inside_value = False
        self._final, self._cut = False, False

    def feed(self, piece: str) -> Iterator[Part]:
        """What is settled now."""
        self._held += piece
        if self._inside_value and not _MAY_END.search(piece):
            return
        yield from self._settled()

    def flush(self, *, cut: bool = False) -> Iterator[Part]:
        """What was still held when the text ended.

        Args:
            cut: the text ended at the token limit, so that its last call may not be whole.
        """
        self._final, self._cut = True, cut
        yield from self._settled()

    def _settled(self) -> Iterator[Part]:
        if not self._known.names:
            yield from [self._held] if self._held else []
            self._held = ""
            return
        while self._held or (self._final and self._around and self._around.explicit and self._around.empty):
            self._inside_value = False
            parts = self._next_in_text() if self._around is None else self._next_around(self._around)
            if parts is None:
                return
            yield from parts

    def _next_in_text(self) -> list[Part] | None:
        """The next parts, at most up to a call; None: more text is needed."""
        for trigger in _TRIGGER.finditer(self._held):
            at_line_start = trigger[0].strip() == ""
            if at_line_start and trigger.start() == 0 and not self._at_line_start:
                continue
            place = trigger.end() if at_line_start else trigger.start()
            found = self._form_at(place, at_line_start)
            if found is MORE:
                return self._text(place)
            if isinstance(found, _Found):
                text = self._held[:place].rstrip()
                self._taken(found)
                return [*([text] if text else []), *found.parts]
        return self._text(len(self._held))

    def _text(self, end: int) -> list[Part] | None:
        """The text before `end`; blanks are kept back until it is clear that no call follows."""
        text = self._held[:end] if self._final and end == len(self._held) else self._held[:end].rstrip()
        self._held = self._held[len(text) :]
        self._at_line_start = self._at_line_start and not text
        return [text] if text else None

    def _taken(self, found: _Found) -> None:
        self._held, self._around = self._held[found.end :], found.around
        self._at_line_start = True

    def _next_around(self, around: _Around) -> list[Part] | None:
        """The next parts where a tag, fence or list is open, or just after a call."""
        self._held = self._held.lstrip()
        if not self._held:
            return self._empty(around) if self._final and around.explicit and around.empty else None
        if closing := forms.CLOSING.match(self._held):
            self._held = self._held[closing.end() :]
            parts = self._empty(around) if around.explicit and around.empty else []
            self._around = replace(around, explicit=False, name=None, empty=False)
            return parts
        if around.fenced and self._held.startswith("```") and not around.empty:
            self._held, self._around = self._held[3:], replace(around, fenced=False, explicit=False)
            return []
        if not self._final and forms.CLOSING_BEGUN.match(self._held):
            return None
        opened = forms.opened_at(self._held, 0, self._final)
        if opened is MORE:
            return None
        if isinstance(opened, forms.Opened):
            name = opened.name or (around.name if around.empty else None)
            self._held, self._around = self._held[opened.end :], replace(around, explicit=True, name=name, empty=True)
            return []
        if around.explicit and self._held[0] in ("[" if around.empty else "[,;)]}"):
            self._held = self._held[1:]
            return []
        return self._call_around(around)

    def _call_around(self, around: _Around) -> list[Part] | None:
        fence = forms.fence_at(self._held, 0, self._final) if around.explicit else None
        if fence is MORE:
            return None
        if fence is not None:
            self._held, self._around = self._held[fence[0] :], replace(around, fenced=True)
            return []
        if around.explicit and self._held[0] == "{":
            found = self._object(0, around)
        else:
            found = self._form_at(0, at_line_start=True, around=around)
        if found is MORE:
            return None
        if isinstance(found, _Found):
            both = replace(around, fenced=around.fenced or found.around.fenced, name=None, empty=False)
            self._taken(replace(found, around=both))
            return found.parts
        if around.explicit and around.empty:
            return self._body(around)
        self._around = None
        return []

    def _empty(self, around: _Around) -> list[Part]:
        self._around = replace(around, empty=False)
        error = CUT if self._cut and not self._held else "" if around.name else "the call is empty"
        return self._judged([Written("", around.name, error=error)])

    def _body(self, around: _Around) -> list[Part] | None:
        """What stands in a tag and is no JSON."""
        ended = forms.BODY_END.search(self._held)
        if not ended and not self._final:
            self._wait()
            return None
        body = self._held[: ended.start() if ended else len(self._held)]
        self._around = replace(around, empty=False)
        brace = body.find("{")
        if brace > 0 and "<parameter" not in body:
            reach = extent(body, brace)
            assert reach is not None  # nothing more comes
            calls = self._read(body[brace : reach.end].rstrip(), reach, around.name)
            self._held = self._held[reach.end :]
            return [body[:brace].strip(), *self._judged(calls)]
        self._held = self._held[len(body) :]
        cut = CUT if self._cut and not ended else ""
        return self._judged([self._without_json(body.strip(), around.name, cut)])

    def _without_json(self, body: str, name: str | None, cut: str) -> Written:
        if cut:
            return Written(body, name, error=cut)
        arguments = forms.argument_tags(body)
        if name and arguments:
            return Written(body, name, arguments)
        if self._known.named(body):
            return Written(body, body)
        return Written(body, name, error='this is no call; write {"name": "NAME", "arguments": {…}}')

    def _form_at(self, place: int, at_line_start: bool, around: _Around = _Around()) -> _Found | More | None:
        """The form of a call that begins there."""
        held, final = self._held, self._final
        character = held[place]
        if character in "<[":
            opened = forms.opened_at(held, place, final)
            if opened is MORE:
                return MORE
            if isinstance(opened, forms.Opened):
                return _Found([], opened.end, _Around(explicit=True, name=opened.name, empty=True))
        if character == "<":
            return self._closing_at(place)
        if character == "[":
            return self._list(place)
        if character == "`":
            return self._fence(place)
        if character == "{":
            starts = forms.object_at(held, place, self._known, final)
            return starts if starts is MORE else self._object(place) if starts else None
        return self._line(place, around) if at_line_start else None

    def _closing_at(self, place: int) -> _Found | More | None:
        """A closing tag that is late: text stood between it and its call."""
        if not self._any:
            return None
        if closing := forms.CLOSING.match(self._held, place):
            return _Found([], closing.end())
        return MORE if not self._final and forms.CLOSING_BEGUN.match(self._held, place) else None

    def _list(self, place: int) -> _Found | More | None:
        first = place + 1 + len(self._held[place + 1 :]) - len(self._held[place + 1 :].lstrip())
        if first == len(self._held):
            return None if self._final else MORE
        if self._held[first] != "{" and not self._held[first].isalpha():
            return None
        found = self._form_at(first, at_line_start=True, around=_Around(explicit=True))
        return replace(found, around=_Around(explicit=True)) if isinstance(found, _Found) else found

    def _fence(self, place: int) -> _Found | More | None:
        fence = forms.fence_at(self._held, place, self._final)
        if fence is MORE or fence is None:
            return fence
        if fence[1]:
            return _Found([], fence[0], _Around(explicit=True, fenced=True, empty=True))
        if fence[0] == len(self._held):
            return None if self._final else MORE
        found = self._form_at(fence[0], at_line_start=True)
        return replace(found, around=replace(found.around, fenced=True)) if isinstance(found, _Found) else found

    def _line(self, place: int, around: _Around) -> _Found | More | None:
        action = forms.action_at(self._held, place, self._known, self._final)
        if action is MORE:
            return MORE
        if isinstance(action, Action):
            return self._action(place, action)
        named = forms.named_at(self._held, place, self._known, self._final)
        if named is MORE or named is None:
            return named
        name, bracket = named
        if self._held[bracket] == "{":
            return self._object(bracket, around, name=name, start=place)
        return self._python(place, bracket, around)

    def _python(self, place: int, bracket: int, around: _Around) -> _Found | More | None:
        limit = (forms.BODY_END if around.explicit else _BLANK_LINE).search(self._held, place)
        read = forms.python_call(self._held[: limit.start() if limit else None], place, bracket, self._known)
        if read is None:
            if limit:
                return None
            if not self._final:
                return self._wait()
            name = self._held[place:bracket]
            error = CUT if self._cut else "arguments: the closing bracket is missing"
            return _Found(self._judged([Written(self._held[place:], name, error=error)]), len(self._held))
        call, end = read
        if not around.explicit:
            rest = self._held[end:]
            if not self._final and re.fullmatch(r"[^\S\n]*[;.`\]]*[^\S\n]*", rest):
                return MORE
            if not _LINE_END.match(rest):
                return None
        return _Found(self._judged([call]), end)

    def _action(self, place: int, action: Action) -> _Found | More | None:
        held = self._held
        if action.end is None:
            return _Found(self._judged([Written(held[place : action.next].strip(), action.name)]), action.next)
        start = action.end + len(held[action.end :]) - len(held[action.end :].lstrip())
        if start == len(held) and not self._final:
            return MORE
        fence = forms.fence_at(held, start, self._final)
        if fence is MORE:
            return MORE
        start = fence[0] if fence else start
        if held[start : start + 1] == "{":
            found = self._object(start, _Around(explicit=True), name=action.name, start=place)
            return replace(found, around=_Around(fenced=bool(fence))) if isinstance(found, _Found) else found
        if not self._final and _begins_step(held[start:]):
            return MORE
        if _STEP.match(held, start):
            return _Found(self._judged([Written(held[place : action.end].strip(), action.name)]), action.end)
        end = forms.input_end(held, start, self._final)
        if end is MORE:
            return MORE
        raw = held[place:end].strip()
        call = forms.plain_input(raw, action.name, held[start:end], self._known)
        return _Found(self._judged([replace(call, error=CUT) if self._cut and end == len(held) else call]), end)

    def _object(
        self, place: int, around: _Around = _Around(), *, name: str | None = None, start: int | None = None
    ) -> _Found | More | None:
        """The calls in the object at `place`; `name`, where it stood before it (at `start`) or in the tag around it."""
        if not around.explicit and name is None and self._rambles(place):
            return None
        reach = extent(self._held, place, final=self._final)
        if reach is None:
            return self._wait()
        calls = self._read(self._held[place : reach.end].rstrip(), reach, name or around.name)
        if start is not None:
            calls = [replace(call, raw=self._held[start : reach.end].rstrip()) for call in calls]
        if not around.explicit and not any(call.sure for call in calls):
            return None
        return _Found(self._judged(calls), reach.end)

    def _read(self, raw: str, reach: Extent, name: str | None) -> list[Written]:
        unfinished = CUT if self._cut and not reach.complete and reach.end == len(self._held) else reach.fault
        try:
            calls = self._named(value(raw), raw, name)
        except (ValueError, RecursionError) as unread:
            guess = name or next(
                (each for each in self._known.names if re.search(rf"\b{re.escape(each)}\b", raw)), None
            )
            return [Written(raw, guess, error=unfinished or f"arguments: {unread}", sure=guess is not None)]
        if not unfinished:
            return calls
        error = unfinished if unfinished == CUT else f"arguments: {unfinished}; write the whole call again"
        last = calls[-1]
        likely = last.sure or bool(last.name and any(each.startswith(last.name) for each in self._known.names))
        return [*calls[:-1], replace(last, raw=raw, error=error, sure=likely)]

    def _named(self, read: Any, raw: str, name: str | None) -> list[Written]:
        calls = written(read, raw, self._known)
        if name is None or any(call.sure and call.name and self._known.named(call.name) for call in calls):
            return calls
        return [Written(raw, name, read)]

    def _rambles(self, place: int) -> bool:
        """Whether brackets are opened on and on, and no tool is named: to try at each would take the square of the time."""
        rest = self._held[place:]
        return rest.count("{") > MOST_BRACKETS and not self._known.only and not self._known.occur_in(rest)

    def _wait(self) -> More:
        """A value is open: nothing can settle before a bracket, tag or line ends."""
        self._inside_value = True
        return MORE

    def _judged(self, calls: list[Written]) -> list[Part]:
        """Each call as LangChain has it, with what was said inside it before it."""
        parts: list[Part] = []
        for call in calls:
            parts += [call.said] if call.said else []
            parts.append(self._call(call))
        self._any = True
        return parts

    def _call(self, call: Written) -> ToolCall | InvalidToolCall:
        known = self._known
        name = known.named(self._restored(call.name)) if call.name else None
        number = f"call_{uuid4().hex}"
        try:
            if call.error:
                raise ValueError(call.error)
            if name is None:
                raise ValueError(known.unknown(call.name) if call.name else "name: there is none")
            arguments = known.fitted(name, self._restored(call.arguments))
            if self._valid and not self._parallel:
                raise ValueError("one call at a time: wait for the result of the first")
        except ValueError as error:
            return invalid_tool_call(name=name or call.name, args=call.raw, id=number, error=str(error))
        self._valid = True
        return tool_call(name=name, args=arguments, id=number)

    def _restored(self, value: Any) -> Any:
        return value if self._tags is None else self._tags.restored_values(value)


def _begins_step(text: str) -> bool:
    """Whether this may become the name of a ReAct step."""
    word = text.lstrip("*").lower()
    return any(step.startswith(word) for step in ("observation", "thought", "action", "final answer"))
