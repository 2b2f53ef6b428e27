"""The wire of DJL's Large Model Inference containers (LMI) in their default schema: like TGI's, but JSON lines.

Source: LMI's pages "Input and output schema" (v12 and later). Without `max_new_tokens` LMI ends after 30 tokens. A line
with the finish reason `error` reports an error in a stream. `OPTION_TGI_COMPAT` makes it send TGI's events instead of
lines; one decoder reads both.
"""

from collections.abc import Mapping
from typing import ClassVar

from .tgi import TextGenerationInference


class LargeModelInference(TextGenerationInference):
    """`{"inputs", "parameters", "stream"}` → `{"generated_text", "details"}`, or one JSON line a token."""

    name: ClassVar[str] = "lmi"
    servers: ClassVar[str] = "DJL Large Model Inference"
    parameter_names: ClassVar[Mapping[str, str]] = {**TextGenerationInference.parameter_names, "stop": "stop_sequences"}
    omitted_when_off: ClassVar[frozenset[str]] = frozenset({"top_k"})  # vLLM before 0.8 wants -1 there
    max_stop_strings: ClassVar[int | None] = None
    end_marker: ClassVar[str] = "a line with `generated_text`"
