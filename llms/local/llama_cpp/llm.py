"""GGUF models on this machine, in llama.cpp (xllamacpp: no torch, no compiler).

Calls that run together share an engine's slots by continuous batching (`llama_cpp_engine.py`); what has been computed for a
prompt is kept in its slot, so that the next turn of a conversation is read from where the last one ended.
"""

from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field, PrivateAttr, model_validator
from sagechain.prompts import OutputFormat, check_known, get_family

from ...capabilities import Capabilities
from ...constrained.grammars import grammar_of
from ...generation import Prompt, RunningGeneration
from ...parameters import OFF, GenerationParameters
from ...role_messages import dialog
from ...text_model import TextModel
from .request import REMEDY, LlamaCppCall
from .server import Engine, engine

CARRIES = {
    "max_new_tokens": "max_tokens",
    "repetition_penalty": "repeat_penalty",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "stop": "stop",
    "seed": "seed",
    "num_return_sequences": "n",
}
# llama.cpp's own defaults (top_k 40, top_p 0.95, min_p 0.05) are another meaning of
# "temperature 1" than everywhere else, so each is switched off unless it is asked for.
NEUTRAL = {
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    # transformers, TGI and vLLM apply the temperature before they cut; llama.cpp's own order is the other way round.
    "samplers": ["penalties", "temperature", "top_k", "top_p"],
}


# The likeliest token alone; to weigh the whole vocabulary first would cost a twentieth of the decoding.
GREEDY = {"temperature": 0.0, "top_k": 1, "samplers": ["penalties", "top_k"]}


class LlamaCppLLM(TextModel):
    """A GGUF file as a LangChain LLM, run in this process. `timeout` and `max_retries` mean nothing here.

    Raises:
        ValueError: no such file, not GGUF, or a parameter that is unknown, out of range or not carried.
        MissingExtra: the `local` extra is not installed.
    """

    model_config = ConfigDict(extra="forbid")

    path: Path
    """The GGUF file."""
    context: int = Field(default=2048, ge=64)
    """Tokens of prompt and answer together, for each call."""
    slots: int = Field(default=4, ge=1)
    """Calls that are answered at the same time."""
    likelihood: bool = False
    """Tell how likely each answer was: `generation_info["likelihood"]`, the mean log probability (nats) of its tokens, but
    not of the one that ends it, before temperature, penalties and cuts. To tell it costs a twentieth of the decoding."""

    _engine: Engine = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _known(cls, values: dict[str, Any]) -> dict[str, Any]:
        check_known("parameter", values, cls.model_fields)
        return values

    @model_validator(mode="after")
    def _load(self) -> Self:
        if self.family is not None:
            get_family(self.family)
        _sent(self._parameters(None, {}).updated({"max_length": None}))
        self._engine = engine(self.path, context=self.context, slots=self.slots)
        return self

    @property
    def capabilities(self) -> Capabilities:
        """Messages go through the model's own chat template, unless a family is given."""
        return Capabilities(takes_roles=self.family is None, constrained_decoding=True)  # by llguidance

    @property
    def display_name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def _llm_type(self) -> str:
        return "sagechain-llama-cpp"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        where = {"path": str(self.path.resolve()), "context": self.context}
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
        return self._engine.token_ids(text)

    def text_tokens(self, text: str) -> int:
        """How many tokens a text has, without those that begin a prompt."""
        return len(self.get_token_ids(text)) - len(self.get_token_ids(""))

    def prompt_tokens(self, prompt: Prompt, output_format: OutputFormat | None = None) -> int:
        """How many tokens a prompt has; messages are laid out by the model's own template first."""
        text = prompt if isinstance(prompt, str) else self._engine.laid_out(dialog(prompt, output_format))
        return len(self.get_token_ids(text))

    def _start_generation(
        self,
        prompt: Prompt,
        parameters: GenerationParameters,
        *,
        stream: bool,
        output_format: OutputFormat | None = None,
    ) -> RunningGeneration:
        grammar = grammar_of(output_format)
        request = {
            **_sent(parameters),
            "repeat_last_n": self.context,
            "stream": True,
            "stream_options": {"include_usage": True},
            **({"n_probs": 1} if self.likelihood else {}),
            **({"grammar": grammar.llguidance()} if grammar else {}),
            **({"prompt": prompt} if isinstance(prompt, str) else {"messages": dialog(prompt, output_format)}),
        }
        return LlamaCppCall(self._engine, self._rounds(request, parameters), whole=not stream)

    def _rounds(self, request: dict[str, Any], parameters: GenerationParameters) -> list[dict[str, Any]]:
        """The requests for all answers: llama.cpp gives as many at once as it has slots, and reads the prompt once."""
        wanted, seed = parameters.num_return_sequences or 1, parameters.seed
        if wanted == 1:
            return [request]
        return [
            {**request, "n": min(self.slots, wanted - first), **({} if seed is None else {"seed": seed + first})}
            for first in range(0, wanted, self.slots)
        ]


def _sent(parameters: GenerationParameters) -> dict[str, Any]:
    """The parameters under llama.cpp's names."""
    sent: dict[str, Any] = {}
    for name, value in parameters.given().items():
        if name in CARRIES:
            sent[CARRIES[name]] = list(value) if name == "stop" else value
        elif name != "do_sample" and not (name in OFF and value == OFF[name]):
            known = sorted({*CARRIES, "do_sample", "max_length"})
            raise ValueError(
                f"{name}: llama.cpp does not carry it; it carries {', '.join(known)}; "
                "local:…?engine=transformers carries all"
            )
    sent = {**NEUTRAL, **sent}
    return sent if parameters.samples else sent | GREEDY
