"""Hugging Face checkpoints on this machine, as a LangChain `HuggingFacePipeline` without its faults.

    llm = HuggingFaceLLM(path="codeparrot", temperature=0.2, max_new_tokens=60)
    llm.invoke("def add(a, b):")     # the completion, without the prompt

It loads a folder (config.json, safetensors, a tokenizer) or a GGUF file. The parameters mean what they mean everywhere
in sagechain; of the checkpoint's own generation settings only the ids of its end and padding tokens are used.
"""

from pathlib import Path
from typing import Any, Self

from langchain_core.outputs import GenerationChunk
from langchain_huggingface import HuggingFacePipeline
from pydantic import ConfigDict, Field, PrivateAttr, model_validator
from sagechain.prompts import OutputFormat, check_known, replace_half_characters

from ...capabilities import Capabilities
from ...constrained.grammars import answer_grammar
from ...generation import Prompt, RunningGeneration
from ...parameters import PARAMETER_NAMES, GenerationParameters
from ...role_messages import dialog
from ...text_generation import LONGEST_TIMEOUT, Timeout
from ...text_model import TextModel
from ...token_counting import prompt_too_long
from .engine import Engine, shared_engine
from .worker import TransformersGeneration, start


class HuggingFaceLLM(TextModel, HuggingFacePipeline):
    """A checkpoint as a LangChain LLM, run by transformers in this process.

    Prompts of one batch, and the answers of `num_return_sequences`, are generated side by side; generations of several
    threads run one after another. A stream with `num_beams` above 1 comes as one chunk: which beam is the answer is known
    only when all have ended. `max_retries` has no effect.

    Of LangChain's own fields `pipeline` is transformers' pipeline over the same weights, `model_id` is another name of
    `path`, `pipeline_kwargs` may contain inference parameters, and `model_kwargs` is refused.

    Raises:
        ValueError: no such file or folder, a folder without a checkpoint, or a parameter that is unknown or out of range.
        ModelNotLoaded: the checkpoint is broken, or of an unknown kind.
        MissingExtra: the `transformers` extra is not installed.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    timeout: Timeout = LONGEST_TIMEOUT
    """Seconds: for a whole generation; in a stream to the first chunk and between chunks. Waiting for others counts."""
    path: Path
    """The checkpoint's folder, or a GGUF file."""
    context: int | None = Field(default=None, ge=1)
    """Tokens of prompt and answer together; the model's own limit if not given."""
    batch_size: int = Field(default=16, ge=1)
    """Most sequences generated side by side; more answers come in rounds. The beams of one search are never split."""
    likelihood: bool = False
    """Report `generation_info["likelihood"]`: the mean log probability (nats) of an answer's tokens, the end token
    included, before temperature, penalties, `top_k` and `top_p`. Answers of a beam search have none."""

    _engine: Engine = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def pre_init_validator(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill sagechain's fields from LangChain's. langchain-huggingface's own validator would load GPT-2 by default."""
        check_known("parameter", values, cls.model_fields)
        values = dict(values)
        for name in ("pipeline", "model_kwargs"):
            if values.get(name) is not None:
                raise ValueError(f"{name}: the weights are loaded from `path`; for {name} use HuggingFacePipeline")
        given = values.pop("pipeline_kwargs", None) or {}
        check_known("pipeline_kwargs", given, PARAMETER_NAMES)
        values = {**given, **values}
        if values.get("model_id") is not None:
            values.setdefault("path", values["model_id"])
        return values

    @model_validator(mode="after")
    def _load(self) -> Self:
        self._parameters(None, {})
        self._engine = shared_engine(self.path)
        self.pipeline, self.model_id = self._engine.pipeline, str(self.path)
        if self.context is not None and self.context > self._engine.context:
            raise ValueError(f"context: {self.context} is more than the model's {self._engine.context} tokens")
        return self

    def with_fields(self, **changes: Any) -> Self:
        """As for every text model; the copy shares the weights."""
        return super().with_fields(**{"pipeline": None, **changes})

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return super().__deepcopy__({**(memo or {}), id(self.pipeline): self.pipeline})

    def __getstate__(self) -> dict[Any, Any]:
        """Pickles carry the path, never the weights."""
        state = super().__getstate__()
        return {**state, "__dict__": {**state["__dict__"], "pipeline": None}}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self.pipeline = self._engine.pipeline

    @property
    def capabilities(self) -> Capabilities:
        """Roles need a chat template and no family; constrained decoding needs the extra `constrained` and an end token."""
        return Capabilities(
            takes_roles=self.family is None and self._engine.has_template,
            constrained_decoding=self._engine.constrains,
        )

    @property
    def display_name(self) -> str:
        """The name of the folder, or of the file."""
        return self.path.resolve().name

    @property
    def _llm_type(self) -> str:
        return "sagechain-hugging-face"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        where = {"path": str(self.path.resolve()), "weights": self._engine.version.content, "engine": "transformers"}
        settings = {"context": self.context_size, **({"likelihood": True} if self.likelihood else {})}
        return {**super()._identifying_params, **where, **settings}

    @property
    def context_size(self) -> int:
        """Tokens of prompt and answer together."""
        return self.context or self._engine.context

    @property
    def _length_advice(self) -> str:
        may_be_longer = self.context_size < self._engine.context
        return "shorten it, or load the model with ?context=…" if may_be_longer else "shorten it"

    def get_token_ids(self, text: str) -> list[int]:
        """The ids of the model's own tokens in a text; special tags in it are read as such."""
        return self._engine.token_ids(replace_half_characters(text))

    def prompt_tokens(self, prompt: Prompt, output_format: OutputFormat | None = None) -> int:
        """The number of a prompt's tokens; messages go through the chat template first."""
        return len(self._tokens(prompt, output_format))

    def _tokens(self, prompt: Prompt, output_format: OutputFormat | None = None) -> list[int]:
        if isinstance(prompt, str):
            return self._engine.token_ids(prompt)
        return self._engine.token_ids(self._engine.apply_template(dialog(prompt, output_format)), from_template=True)

    def _start_generation(
        self, prompt: Prompt, parameters: GenerationParameters, output_format: OutputFormat | None, *, stream: bool
    ) -> TransformersGeneration:
        tokens = self._tokens(prompt, output_format)
        if not tokens:
            raise ValueError("prompt: the model's tokenizer finds no tokens in it")
        room = self.context_size - len(tokens)
        if room <= 0:
            raise prompt_too_long(len(tokens), self.context_size, self._length_advice)
        answers, beams = parameters.num_return_sequences or 1, parameters.num_beams or 1
        if answers > beams > 1:
            raise ValueError(
                f"num_return_sequences={answers}: a search with num_beams={beams} has no more answers than beams"
            )
        return TransformersGeneration(
            self._engine,
            tokens,
            parameters,
            max_tokens=min(parameters.max_new_tokens or room, room),
            max_rows=self.batch_size,
            timeout=self.timeout,
            stream=stream and beams == 1,
            likelihood=self.likelihood,
            grammar=answer_grammar(output_format) if self._engine.constrains else None,
        )

    def _complete_batch(self, generations: list[RunningGeneration]) -> list[list[GenerationChunk]]:
        """The answers to several prompts, generated side by side."""
        start([each for each in generations if isinstance(each, TransformersGeneration)])
        try:
            return [generation.answers() for generation in generations]
        finally:
            for generation in generations:
                generation.close()
