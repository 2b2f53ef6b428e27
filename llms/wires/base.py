"""What a wire states about itself, how it writes a request, and how it reads a reply.

A wire is the format in which one kind of container reads requests and writes replies. It converts a prompt and parameters
to a request's body, and a reply's bytes to LangChain's `GenerationChunk`s; `llms/sagemaker/invocation.py` sends and
receives. A new wire is a subclass in a module of this folder, listed in `wires/__init__.py`.
"""

import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import reduce
from operator import getitem
from typing import Any, ClassVar, Literal

from langchain_core.outputs import GenerationChunk
from sagechain.prompts import OutputFormat

from ..capabilities import Capabilities
from ..generation import Prompt
from ..parameters import OFF, GenerationParameters
from .lines import LineDecoder
from .wire_error import WireError, reported_error, shortened, unexpected_reply

OnUnsupported = Literal["error", "warn"]


class Wire(ABC):
    """One request and reply format. The body is `{"inputs", "parameters"}`, and `"stream"` where the wire has a stream."""

    name: ClassVar[str]
    servers: ClassVar[str]
    """The servers that use this wire."""
    parameter_names: ClassVar[Mapping[str, str]]
    """sagechain's name of a parameter → its name on the wire, for the parameters that the wire carries."""
    fixed_parameters: ClassVar[Mapping[str, Any]] = {}
    """What every request has among its parameters, unless the caller sets it."""
    omitted_when_off: ClassVar[frozenset[str]] = frozenset()
    """Parameters whose value for *off* the servers reject, so that it is not sent."""
    greedy_parameter: ClassVar[Literal["do_sample", "temperature"]] = "do_sample"
    """How greedy decoding is requested: `do_sample: false` and no sampling parameter, or temperature 0."""
    max_stop_strings: ClassVar[int | None] = None
    """Stop strings that the servers accept; further ones are cut on this side only."""
    end_marker: ClassVar[str] = ""
    """What ends a stream, for the guide; empty if the wire has no stream."""
    reports_finish_reason: ClassVar[bool] = True
    """Whether a reply states why the answer ended."""
    carries_model: ClassVar[bool] = False
    """Whether a request may name the model, for a server that has several, or demands it."""
    capabilities: ClassVar[Capabilities] = Capabilities()

    @property
    def streams(self) -> bool:
        """Whether the wire has a stream."""
        return bool(self.end_marker)

    def request(
        self,
        prompt: Prompt,
        parameters: GenerationParameters,
        *,
        stream: bool,
        output_format: OutputFormat | None = None,
        on_unsupported: OnUnsupported = "error",
        model: str | None = None,
    ) -> dict[str, Any]:
        """The body of a request, before it is encoded as JSON.

        Args:
            prompt: text, or messages where the wire accepts roles.
            stream: whether a streamed reply is requested; False on a wire without a stream.
            output_format: sent beside messages; a text prompt contains it already.
            on_unsupported: what happens with a parameter that the wire does not carry.
            model: the model's name on the server, where the wire carries it.

        Raises:
            ValueError: a parameter is not carried, and `on_unsupported` is "error".
        """
        body = self._body(prompt, self.encode_parameters(parameters, on_unsupported), stream, output_format)
        return body if model is None else {"model": model, **body}

    def _body(
        self, prompt: Prompt, parameters: dict[str, Any], stream: bool, output_format: OutputFormat | None
    ) -> dict[str, Any]:
        body = {"inputs": self._inputs(prompt, output_format), "parameters": {**self.fixed_parameters, **parameters}}
        return {**body, "stream": stream} if self.streams else body

    def _inputs(self, prompt: Prompt, output_format: OutputFormat | None) -> Any:
        return prompt

    def rendered_prompt(self, prompt: Prompt, output_format: OutputFormat | None = None) -> str | None:
        """The text that the model reads; None if only the server knows it."""
        return prompt if isinstance(prompt, str) else None

    def encode_parameters(
        self, parameters: GenerationParameters, on_unsupported: OnUnsupported = "error"
    ) -> dict[str, Any]:
        """The parameters under their names on the wire. `stop` is cut on this side as well, so no wire refuses it.

        Raises:
            ValueError: a parameter that this wire does not carry is set, and `on_unsupported` is "error".
        """
        encoded = {}
        for name, value in self._with_greedy_decoding(parameters).items():
            if value == ():  # some servers refuse an empty list of stop strings
                continue
            is_off = name in OFF and value == OFF[name]
            if is_off and (name not in self.parameter_names or name in self.omitted_when_off):
                continue
            if name in self.parameter_names:
                sent = list(value)[: self.max_stop_strings] if name == "stop" else value
                encoded[self.parameter_names[name]] = sent
            elif name not in ("stop", "do_sample"):
                self._refuse(name, on_unsupported)
        return encoded

    def _with_greedy_decoding(self, parameters: GenerationParameters) -> dict[str, Any]:
        given = parameters.given()
        if self.greedy_parameter == "temperature":
            return given | ({"temperature": 0} if parameters.do_sample is False else {})
        if not parameters.samples:
            # Servers sample as soon as one of these is there, and some reject temperature 0.
            given = {name: value for name, value in given.items() if name not in ("temperature", "top_k", "top_p")}
        return given | {"do_sample": parameters.samples}

    def _refuse(self, name: str, on_unsupported: OnUnsupported) -> None:
        carried = f"it carries {', '.join(sorted(self.parameter_names))}"
        if name == "max_length":
            carried += "; give max_new_tokens, or custom_get_token_ids (the model's tokenizer) to have it counted"
        if on_unsupported == "error":
            raise ValueError(f"{name}: the {self.name} wire does not carry it; {carried}")
        warnings.warn(f"{name} dropped: the {self.name} wire does not carry it; {carried}", stacklevel=4)

    def parse_reply(self, body: bytes) -> list[GenerationChunk]:
        """The answers in a whole reply.

        Raises:
            WireError: it is not JSON, has another format, or reports an error of the container.
        """
        try:
            reply = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise WireError(f"the reply is not JSON: {shortened(body)!r}.") from error
        if (reported := reported_error(reply)) is not None:
            raise reported
        return self._answers(reply)

    @abstractmethod
    def _answers(self, reply: Any) -> list[GenerationChunk]:
        """The answers in a parsed reply. Raises `WireError` if it has another format."""

    def decoder(self) -> LineDecoder:
        """A new reader for one streamed reply."""
        raise NotImplementedError(f"the {self.name} wire has no stream")


def is_count(value: Any) -> bool:
    """Whether a reply's value is a number of tokens."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def answers_in_list(reply: Any, *path: str) -> list[GenerationChunk]:
    """The answers in a reply that is a list of objects, with an answer's text at `path`. Raises `WireError`."""
    try:
        texts = [reduce(getitem, path, item) for item in reply]
    except (TypeError, KeyError) as error:
        raise unexpected_reply(reply) from error
    if not texts or not all(isinstance(text, str) for text in texts):
        raise unexpected_reply(reply)
    return [GenerationChunk(text=text) for text in texts]
