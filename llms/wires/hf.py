"""The wire of the Hugging Face inference toolkit: a transformers pipeline that accepts the arguments of `generate()`.

Source: `sagemaker-huggingface-inference-toolkit` 2.x over transformers' text-generation pipeline. It has no stream, accepts
no stop strings, puts the prompt before the answer by default, and does not report why an answer ended.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from langchain_core.outputs import GenerationChunk

from .base import Wire, answers_in_list


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

    def _answers(self, reply: Any) -> list[GenerationChunk]:
        return answers_in_list(reply, "generated_text")
