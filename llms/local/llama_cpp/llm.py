"""GGUF models on this machine, in llama.cpp (xllamacpp: no torch, no compiler).

    llm = LlamaCppLLM(path="model.gguf", temperature=0.2)
    llm.invoke("User: Hi.\nAssistant:")

Generations at the same time share the engine's slots by continuous batching. A slot caches what was computed for its
prompt, so the next turn of a conversation is read from the end of the last one.
"""

from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field, PrivateAttr, model_validator
from sagechain.prompts import OutputFormat, replace_half_characters

from ...capabilities import Capabilities
from ...constrained.grammars import answer_grammar
from ...generation import Prompt, RunningGeneration
from ...parameters import OFF, GenerationParameters
from ...role_messages import dialog
from ...text_generation import LONGEST_TIMEOUT, Timeout
from ...text_model import TextModel
from .engine import Engine, shared_engine
from .request import REMEDY, LlamaCppGeneration

LLAMA_CPP_NAMES = {
    "max_new_tokens": "max_tokens",
    "repetition_penalty": "repeat_penalty",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "stop": "stop",
    "seed": "seed",
    "num_return_sequences": "n",
}
# llama.cpp's own defaults (top_k 40, top_p 0.95, min_p 0.05) would give "temperature 1" another meaning than elsewhere.
NEUTRAL = {
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    # transformers, TGI and vLLM apply the temperature before top_k and top_p; llama.cpp's own order is the reverse.
    "samplers": ["penalties", "temperature", "top_k", "top_p"],
}
# The likeliest token alone; sorting the whole vocabulary first would take a twentieth of the decoding's time.
GREEDY = {"temperature": 0.0, "top_k": 1, "samplers": ["penalties", "top_k"]}


class LlamaCppLLM(TextModel):
    """A GGUF file as a LangChain LLM, run in this process. `max_retries` has no effect.

    Raises:
        ValueError: no such file, not GGUF, or a parameter that is unknown, out of range or not carried by llama.cpp.
        MissingExtra: the `local` extra is not installed.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    timeout: Timeout = LONGEST_TIMEOUT
    """Seconds: for a whole generation; in a stream to the first chunk and between chunks. Waiting for a slot counts."""
    path: Path
    """The GGUF file."""
    context: int = Field(default=2048, ge=64)
    """Tokens of prompt and answer together, for each generation."""
    slots: int = Field(default=4, ge=1)
    """Generations that run at the same time."""
    likelihood: bool = False
    """Report `generation_info["likelihood"]`: the mean log probability (nats) of an answer's tokens, without the end token,
    before temperature, penalties, `top_k` and `top_p`. It takes a twentieth of the decoding's time."""

    _engine: Engine = PrivateAttr()

    @model_validator(mode="after")
    def _load(self) -> Self:
        _llama_cpp_parameters(self._parameters(None, {}).updated({"max_length": None}))
        self._engine = shared_engine(self.path, context=self.context, slots=self.slots)
        return self

    @property
    def capabilities(self) -> Capabilities:
        """Messages go through the model's own chat template, unless a family is given; llguidance is built in."""
        return Capabilities(takes_roles=self.family is None, constrained_decoding=True)

    @property
    def display_name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def _llm_type(self) -> str:
        return "sagechain-llama-cpp"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        where = {"path": str(self.path.resolve()), "weights": self._engine.version.content, "context": self.context}
        return {**super()._identifying_params, **where, **({"likelihood": True} if self.likelihood else {})}

    @property
    def context_size(self) -> int:
        """The context of one slot."""
        return self.context

    @property
    def _length_advice(self) -> str:
        return REMEDY

    def get_token_ids(self, text: str) -> list[int]:
        """The ids of the model's own tokens in a text; special tags in it are read as such."""
        return self._engine.token_ids(replace_half_characters(text))

    def prompt_tokens(self, prompt: Prompt, output_format: OutputFormat | None = None) -> int:
        """How many tokens a prompt has; messages are laid out by the model's own template first."""
        text = prompt if isinstance(prompt, str) else self._engine.apply_template(dialog(prompt, output_format))
        return len(self.get_token_ids(text))

    def _start_generation(
        self, prompt: Prompt, parameters: GenerationParameters, output_format: OutputFormat | None, *, stream: bool
    ) -> RunningGeneration:
        grammar = answer_grammar(output_format)
        request = {
            **_llama_cpp_parameters(parameters),
            "repeat_last_n": self.context,
            "stream": True,
            "stream_options": {"include_usage": True},
            **({"n_probs": 1} if self.likelihood else {}),
            **({"grammar": grammar} if grammar else {}),
            **({"prompt": prompt} if isinstance(prompt, str) else {"messages": dialog(prompt, output_format)}),
        }
        requests = self._split(request, parameters)
        return LlamaCppGeneration(self._engine, requests, timeout=self.timeout, stream=stream)

    def _split(self, request: dict[str, Any], parameters: GenerationParameters) -> list[dict[str, Any]]:
        """The requests for all answers: each for as many as there are slots, for which llama.cpp reads the prompt once."""
        answers, seed = parameters.num_return_sequences or 1, parameters.seed
        if answers == 1:
            return [request]
        return [
            {**request, "n": min(self.slots, answers - first), **({} if seed is None else {"seed": seed + first})}
            for first in range(0, answers, self.slots)
        ]


def _llama_cpp_parameters(parameters: GenerationParameters) -> dict[str, Any]:
    """The parameters under llama.cpp's names."""
    given: dict[str, Any] = {}
    for name, value in parameters.given().items():
        if name in LLAMA_CPP_NAMES:
            given[LLAMA_CPP_NAMES[name]] = list(value) if name == "stop" else value
        elif name != "do_sample" and not (name in OFF and value == OFF[name]):
            supported = sorted({*LLAMA_CPP_NAMES, "do_sample", "max_length"})
            raise ValueError(
                f"{name}: llama.cpp does not carry it; it carries {', '.join(supported)}; "
                "local:…?engine=transformers supports all of them"
            )
    settings = {**NEUTRAL, **given}
    return settings if parameters.samples else settings | GREEDY
