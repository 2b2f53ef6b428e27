"""The wire of the Hugging Face inference toolkit: a transformers pipeline that accepts the arguments of `generate()`.

Source: `sagemaker-huggingface-inference-toolkit` 2.x over transformers' text-generation pipeline. It has no stream, accepts
no stop strings, puts the prompt before the answer by default, and does not report why an answer ended.

With transformers 4.52 to 4.57 it counts `max_length` only where `"max_new_tokens": null` stands beside it: otherwise the
pipeline's own 256 new tokens apply (measured on multi-model-server 1.1.11 with toolkit 2.6).
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from langchain_core.outputs import GenerationChunk

from ..parameters import GenerationParameters
from .base import OnUnsupported, Wire, answers_in_list


class HuggingFace(Wire):
    """`{"inputs", "parameters"}` → `[{"generated_text"}]`, one for each returned sequence."""

    name: ClassVar[str] = "hf"
    servers: ClassVar[str] = "the Hugging Face inference toolkit"
    reports_finish_reason: ClassVar[bool] = False
    fixed_parameters: ClassVar[Mapping[str, Any]] = {"return_full_text": False}
    parameter_names: ClassVar[Mapping[str, str]] = {
        name: name
        for name in (
            "max_length",
            "max_new_tokens",
            "min_length",
            "num_beams",
            "early_stopping",
            "length_penalty",
            "no_repeat_ngram_size",
            "repetition_penalty",
            "do_sample",
            "temperature",
            "top_k",
            "top_p",
            "num_return_sequences",
            "return_full_text",
        )
    }

    def encode_parameters(
        self, parameters: GenerationParameters, on_unsupported: OnUnsupported = "error"
    ) -> dict[str, Any]:
        """As for every wire. Raises ValueError also if both limits are set, of which the server would ignore one."""
        encoded = super().encode_parameters(parameters, on_unsupported)
        if "max_length" not in encoded:
            return encoded
        if "max_new_tokens" in encoded:
            raise ValueError(
                "max_length: the hf wire's servers ignore it beside max_new_tokens; give one of them, or a tokenizer, with "
                "which the prompt is counted here"
            )
        return {**encoded, "max_new_tokens": None}

    def _answers(self, reply: Any) -> list[GenerationChunk]:
        return answers_in_list(reply, "generated_text")
