"""The wire of the Hugging Face inference toolkit: a transformers pipeline that takes `generate()`'s own arguments.

Source: `sagemaker-huggingface-inference-toolkit` 2.x over transformers' text-generation pipeline. It has no stream, takes
no stop strings, puts the prompt before the answer unless told otherwise, and does not say why an answer ended.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from langchain_core.outputs import GenerationChunk
from sagechain.prompts import OutputFormat

from ..generation import Prompt
from ..parameters import GenerationParameters
from .base import OnUnsupported, Wire, container_error, wrong_shape


class HuggingFace(Wire):
    """`{"inputs", "parameters"}` → `[{"generated_text"}]`, one for each returned sequence."""

    name: ClassVar[str] = "hf"
    speakers: ClassVar[str] = "the Hugging Face inference toolkit"
    tells_reason: ClassVar[bool] = False
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

    def request(
        self,
        prompt: Prompt,
        parameters: GenerationParameters,
        *,
        stream: bool,
        output_format: OutputFormat | None = None,
        on_unsupported: OnUnsupported = "error",
    ) -> dict[str, Any]:
        """The body; the prompt is not asked for unless `return_full_text` is set."""
        sent = self.parameters(parameters, on_unsupported)
        return {"inputs": prompt, "parameters": {"return_full_text": False, **sent}}

    def replies(self, reply: Any) -> list[GenerationChunk]:
        """One answer a returned sequence."""
        if isinstance(reply, dict) and reply.get("error"):
            raise container_error(reply)
        try:
            texts = [item["generated_text"] for item in reply]
        except (TypeError, KeyError) as error:
            raise wrong_shape(reply) from error
        if not texts or not all(isinstance(text, str) for text in texts):
            raise wrong_shape(reply)
        return [GenerationChunk(text=text) for text in texts]
