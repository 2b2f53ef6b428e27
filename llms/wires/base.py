"""What a wire says about itself, and what it does with a request and a reply.

A wire turns a prompt and parameters into bytes, and bytes into LangChain's `GenerationChunk`s. It knows no network: what
carries the bytes is `llms/sagemaker/llm.py`.
"""

import json
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from langchain_core.outputs import GenerationChunk
from sagechain.prompts import OutputFormat

from ..capabilities import Capabilities
from ..generation import Prompt
from ..parameters import OFF, GenerationParameters

OnUnsupported = Literal["error", "warn"]
FAILURES = ("error", "abort")
"""Finish reasons of an answer that is none."""


class WireError(Exception):
    """A reply that breaks the wire's own rules; `kind` says how."""

    def __init__(self, what: str, kind: Literal["malformed", "failed", "throttled", "rejected"] = "malformed") -> None:
        super().__init__(what)
        self.kind = kind


class NotStreamed(WireError):
    """A whole reply where a piece of a stream was to be read."""

    def __init__(self) -> None:
        super().__init__("the reply is not a stream of events; the container did not take `stream`.")


class StreamDecoder(ABC):
    """Reads one streamed reply, in whatever pieces its bytes arrive."""

    ended = False
    """Whether the wire's end marker was seen: without it the answer is not whole."""

    @abstractmethod
    def feed(self, data: bytes) -> Iterable[GenerationChunk]:
        """The pieces of text that are complete now. Raises `WireError` on an error inside the stream."""

    @abstractmethod
    def flush(self) -> Iterable[GenerationChunk]:
        """What was still held when the bytes ended."""

    @abstractmethod
    def text_in(self, line: bytes) -> str:
        """The text in one line, whatever lines came before. Raises `WireError`; of a whole reply, `NotStreamed`."""


class Wire(ABC):
    """One request and reply format."""

    name: ClassVar[str]
    speakers: ClassVar[str]
    """Which servers speak it."""
    parameter_names: ClassVar[Mapping[str, str]]
    """Our parameter's name → its name on the wire."""
    refuses_off: ClassVar[frozenset[str]] = frozenset()
    """Parameters whose value for *off* a server rejects, so that it is left out."""
    greedy_by: ClassVar[Literal["do_sample", "temperature"]] = "do_sample"
    """What asks for the likeliest token: `do_sample: false` and no word of sampling, or temperature 0."""
    most_stops: ClassVar[int | None] = None
    """How many stop strings a server takes; further ones are cut by us alone."""
    end_marker: ClassVar[str] = ""
    """What ends a stream; empty where the wire has no stream."""
    tells_reason: ClassVar[bool] = True
    """Whether a reply says why it ended: at the token limit or by itself."""
    capabilities: ClassVar[Capabilities] = Capabilities()
    """What the servers do themselves."""

    @property
    def streams(self) -> bool:
        """Whether the wire has a stream; without one `stream` gives the answer whole."""
        return bool(self.end_marker)

    @abstractmethod
    def request(
        self,
        prompt: Prompt,
        parameters: GenerationParameters,
        *,
        stream: bool,
        output_format: OutputFormat | None = None,
        on_unsupported: OnUnsupported = "error",
    ) -> dict[str, Any]:
        """The body of a request, still to be made JSON; roles are told of `output_format`.

        Raises:
            ValueError: a parameter is not carried.
        """

    def laid_out(self, prompt: Prompt, output_format: OutputFormat | None = None) -> str | None:
        """The text that the model reads; None where only the server knows."""
        return prompt if isinstance(prompt, str) else None

    @abstractmethod
    def replies(self, reply: Any) -> list[GenerationChunk]:
        """The answers in a whole reply, parsed from JSON. Raises `WireError` where it has another shape."""

    def decoder(self) -> StreamDecoder:
        """A reader for one streamed reply."""
        raise NotImplementedError(f"the {self.name} wire has no stream")

    def parameters(self, parameters: GenerationParameters, on_unsupported: OnUnsupported = "error") -> dict[str, Any]:
        """The parameters under their names on the wire. `stop` is cut by us as well, so no wire refuses it.

        Raises:
            ValueError: one that this wire does not carry is set.
        """
        given = self._with_greedy(parameters)
        sent = {}
        for name, value in given.items():
            off = name in OFF and value == OFF[name]
            if off and (name not in self.parameter_names or name in self.refuses_off):
                continue
            if name in self.parameter_names:
                sent[self.parameter_names[name]] = list(value)[: self.most_stops] if name == "stop" else value
            elif name not in ("stop", "do_sample"):
                carried = f"it carries {', '.join(sorted(self.parameter_names))}"
                if name == "max_length":
                    carried += (
                        "; give max_new_tokens, or custom_get_token_ids (the model's tokenizer) to have it counted"
                    )
                if on_unsupported == "error":
                    raise ValueError(f"{name}: the {self.name} wire does not carry it; {carried}")
                warnings.warn(f"{name} dropped: the {self.name} wire does not carry it; {carried}", stacklevel=2)
        return sent

    def parsed(self, body: bytes) -> list[GenerationChunk]:
        """The answers in the bytes of a whole reply. Raises `WireError`."""
        try:
            reply = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise WireError(f"the reply is not JSON: {shortened(body)!r}.") from error
        return self.replies(reply)

    def _with_greedy(self, parameters: GenerationParameters) -> dict[str, Any]:
        given = parameters.given()
        if self.greedy_by == "temperature":
            return given | ({"temperature": 0} if parameters.do_sample is False else {})
        if not parameters.samples:
            # Servers sample as soon as one of these is there, and some reject temperature 0.
            given = {name: value for name, value in given.items() if name not in ("temperature", "top_k", "top_p")}
        return given | {"do_sample": parameters.samples}


def wrong_shape(reply: Any) -> WireError:
    """The error for a reply that is JSON, but not of this wire."""
    return WireError(f"the reply has an unexpected shape: {shortened(json.dumps(reply).encode())!r}.")


def container_error(reply: Mapping[str, Any]) -> WireError:
    """The error that a container reports inside a reply: `{"error": "…" or {"message", "code"}, "error_type", "code"}`."""
    said = reply["error"]
    details = said if isinstance(said, dict) else reply
    what = f"the container says: {str(details.get('message') or said).rstrip('.')}."
    code, kinds = str(details.get("code", "")), (details.get("type"), reply.get("error_type"))
    if code == "429" or "overloaded" in kinds:
        return WireError(what, "throttled")
    return WireError(what, "rejected" if re.fullmatch("4[0-9][0-9]", code) or "validation" in kinds else "failed")


def failed_answer(reason: Any, said: Any = None) -> WireError:
    """The error for an answer that ended with one of `FAILURES`; `said` is the container's own reason, if it gave one."""
    return WireError(f"the container failed: {said or f'finish_reason is {reason!r}'}.", "failed")


def shortened(body: bytes, limit: int = 200) -> str:
    """The beginning of a body, for an error."""
    text = body[:limit].decode("utf-8", "replace")
    return text + "…" if len(body) > limit else text
