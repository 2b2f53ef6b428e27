"""The wire of DJL's Large Model Inference containers (LMI) in their default schema: like TGI's, but JSON lines.

Source: LMI's pages "Input and output schema" (v12 and later). Where no limit is named LMI ends after 30 tokens. An error in
a stream is a line whose finish reason is `error`.
"""

from collections.abc import Mapping
from typing import ClassVar

from .lines import JsonLines
from .tgi import TextGenerationInference, TokenDecoder


class LargeModelInference(TextGenerationInference):
    """`{"inputs", "parameters", "stream"}` → `{"generated_text", "details"}`, or a JSON line a token."""

    name: ClassVar[str] = "lmi"
    speakers: ClassVar[str] = "DJL Large Model Inference"
    parameter_names: ClassVar[Mapping[str, str]] = {**TextGenerationInference.parameter_names, "stop": "stop_sequences"}
    refuses_off: ClassVar[frozenset[str]] = frozenset({"top_k"})  # vLLM before 0.8 wants -1 there
    most_stops: ClassVar[int | None] = None
    end_marker: ClassVar[str] = "a line with `generated_text`"

    def decoder(self) -> TokenDecoder:
        """A reader of JSON lines."""
        return TokenDecoder(JsonLines())
