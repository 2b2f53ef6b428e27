"""What every text model of sagechain does, wherever it runs: check a request, run it, cut the answer at stop strings.

`TextModel` (`text_model.py`) is this as a LangChain LLM; an engine (`sagemaker/`, `local/`) subclasses that and supplies
one method, `_start_generation`. Its result is read in any thread and closed from any other. Parameters, lengths, batches,
streams, async and cancelling are the same for all engines, and here.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Annotated, Any, Self

import anyio.to_thread
from anyio import CapacityLimiter
from langchain_core.outputs import GenerationChunk
from pydantic import Field, PrivateAttr, model_validator
from sagechain.prompts import OutputFormat, check_known, get_family, replace_half_characters

from .capabilities import Capabilities
from .checked_calls import check_request
from .concurrency import ConcurrencyLimit, complete_all
from .generation import Prompt, RunningGeneration
from .parameters import GenerationFields, GenerationParameters, with_one_name
from .token_counting import estimate_tokens, prompt_too_long

LONGEST_TIMEOUT = 86_400.0  # seconds: a day; the limit of sockets is not far above
Timeout = Annotated[float, Field(gt=0, le=LONGEST_TIMEOUT, strict=True)]


class TextGenerator(GenerationFields, ABC):
    """Sends a prompt as it is and returns text. Usable from several threads and event loops."""

    timeout: Timeout = 70.0
    """Seconds: for a whole generation, retries included; in a stream to the first chunk and between chunks."""
    max_retries: Annotated[int, Field(ge=0, strict=True)] = 2
    """Attempts after the first, for errors that are `retryable`."""
    max_concurrency: Annotated[int, Field(ge=1, strict=True)] = 64
    """The most generations in flight at the same time; further ones wait."""
    family: str | None = None
    """The prompt family in which a chat over this model is laid out."""

    _concurrency_limit: ConcurrencyLimit = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, values: dict[str, Any]) -> dict[str, Any]:
        values = with_one_name(values)
        check_known("parameter", values, cls.model_fields)
        return values

    @model_validator(mode="after")
    def _check_family(self) -> Self:
        if self.family is not None:
            get_family(self.family)
        return self

    def model_post_init(self, context: Any, /) -> None:
        """Make the limit of `max_concurrency`; LangChain's copies of the model share it."""
        super().model_post_init(context)
        self._concurrency_limit = ConcurrencyLimit(self.max_concurrency)

    # What a subclass states about its model

    @property
    def capabilities(self) -> Capabilities:
        """What the model, or the server behind it, does itself."""
        return Capabilities()

    @property
    @abstractmethod
    def display_name(self) -> str:
        """The model's name in traces and metadata."""

    @property
    def context_size(self) -> int | None:
        """The most tokens that prompt and answer may have together; None if unknown."""
        return None

    @property
    def _length_advice(self) -> str:
        """What to do about a prompt that leaves no room for an answer."""
        return "shorten it"

    def text_tokens(self, text: str) -> int | None:
        """Number of tokens of a text without a start token, by the model's own tokenizer; None without a tokenizer."""
        tokens = self.prompt_tokens(text)
        return None if tokens is None else tokens - (self.prompt_tokens("") or 0)

    def prompt_tokens(self, prompt: Prompt, output_format: OutputFormat | None = None) -> int | None:
        """Number of tokens that the model reads for a prompt, its start token included; None if that is unknown here.

        Args:
            prompt: text, or messages where the model accepts roles.
            output_format: what the answer has to be; for messages, the prompt states it too.
        """
        return None

    @abstractmethod
    def _start_generation(
        self, prompt: Prompt, parameters: GenerationParameters, output_format: OutputFormat | None, *, stream: bool
    ) -> RunningGeneration:
        """A generation that sends its request when it is read. Raises ValueError on input that cannot be sent.

        `output_format` is put into the request beside messages; a text prompt has it in its words already. An engine with
        constrained decoding applies it to either.
        """

    # What callers use

    def with_fields(self, **changes: Any) -> Self:
        """A model like this one with some fields replaced; all fields are validated again."""
        own = {name: value for name, value in self.__dict__.items() if name in type(self).model_fields}
        return type(self)(**{**own, **changes})

    def get_num_tokens(self, text: str) -> int:
        """As `text_tokens`; without a tokenizer an estimate, a third of the text's bytes (`estimate_tokens`)."""
        text = replace_half_characters(text)
        counted = self.text_tokens(text)
        return estimate_tokens(text) if counted is None else counted

    def check(self, prompt: Prompt) -> None:
        """Refuse a prompt as a generation would, without starting one.

        Raises:
            ValueError: it is empty or not valid text; or its tokens, where they can be counted, leave no room for an
                answer in the model's context or in `max_length`.
        """
        _check_prompt(prompt)
        self._resolve_length_limits(prompt, self._parameters(None, {}))
        context, tokens = self.context_size, self.prompt_tokens(prompt)
        if context is not None and tokens is not None and tokens >= context:
            raise prompt_too_long(tokens, context, self._length_advice)

    def complete(
        self,
        prompt: Prompt,
        stop: Sequence[str] | None = None,
        *,
        output_format: OutputFormat | None = None,
        **changes: Any,
    ) -> list[GenerationChunk]:
        """The answers to one prompt: one, or `num_return_sequences`.

        Args:
            prompt: text, or messages where the model accepts roles.
            stop: replaces the model's own stop strings; `[]` means none.
            output_format: what the answer has to be (`sagechain.prompts.output_format`).
            changes: inference parameters of this generation.

        Raises:
            ValueError: bad input; nothing was sent.
            LLMError: the generation failed.
        """
        with self._new_generation(prompt, stop, changes, output_format) as generation, self._concurrency_limit.slot():
            return generation.answers()

    async def acomplete(
        self,
        prompt: Prompt,
        stop: Sequence[str] | None = None,
        *,
        output_format: OutputFormat | None = None,
        **changes: Any,
    ) -> list[GenerationChunk]:
        """As `complete`; cancelling it ends the model's work."""
        generation = self._new_generation(prompt, stop, changes, output_format)
        async with self._concurrency_limit.aslot():
            with generation:
                return await anyio.to_thread.run_sync(
                    generation.answers, abandon_on_cancel=True, limiter=CapacityLimiter(1)
                )

    def complete_all(
        self, prompts: list[str], stop: list[str] | None = None, **changes: Any
    ) -> list[list[GenerationChunk]]:
        """As `complete` for each prompt, `max_concurrency` in parallel; all prompts are checked before any is sent."""
        if len(prompts) == 1:
            return [self.complete(prompts[0], stop, **changes)]
        return self._complete_batch([self._new_generation(prompt, stop, changes) for prompt in prompts])

    async def acomplete_all(
        self, prompts: list[str], stop: list[str] | None = None, **changes: Any
    ) -> list[list[GenerationChunk]]:
        """As `complete_all`: one thread waits for all of them, which costs less than a task for each."""
        if len(prompts) == 1:
            return [await self.acomplete(prompts[0], stop, **changes)]
        generations = [self._new_generation(prompt, stop, changes) for prompt in prompts]
        try:
            return await anyio.to_thread.run_sync(
                self._complete_batch, generations, abandon_on_cancel=True, limiter=CapacityLimiter(1)
            )
        finally:
            for generation in generations:
                generation.close()

    def _complete_batch(self, generations: list[RunningGeneration]) -> list[list[GenerationChunk]]:
        return complete_all(generations, self._concurrency_limit)

    def chunks(
        self,
        prompt: Prompt,
        stop: Sequence[str] | None = None,
        *,
        output_format: OutputFormat | None = None,
        **changes: Any,
    ) -> Generator[GenerationChunk, None, None]:
        """One answer in chunks as they arrive; arguments and errors as for `complete`.

        After the first chunk every failure is a StreamInterrupted. Closing the iterator ends the model's work.
        """
        generation = self._new_generation(prompt, stop, changes, output_format, stream=True)
        with generation, self._concurrency_limit.slot():
            yield from generation.chunks()

    async def achunks(
        self,
        prompt: Prompt,
        stop: Sequence[str] | None = None,
        *,
        output_format: OutputFormat | None = None,
        **changes: Any,
    ) -> AsyncGenerator[GenerationChunk, None]:
        """As `chunks`; cancelling it ends the model's work."""
        generation = self._new_generation(prompt, stop, changes, output_format, stream=True)
        async with self._concurrency_limit.aslot():
            with generation:
                chunks, thread = generation.chunks(), CapacityLimiter(1)
                while (
                    chunk := await anyio.to_thread.run_sync(next, chunks, None, abandon_on_cancel=True, limiter=thread)
                ) is not None:
                    yield chunk

    # From a request's arguments to a generation

    def _new_generation(
        self,
        prompt: Prompt,
        stop: Sequence[str] | None,
        changes: dict[str, Any],
        output_format: OutputFormat | None = None,
        *,
        stream: bool = False,
    ) -> RunningGeneration:
        _check_prompt(prompt)
        parameters = self._resolve_length_limits(prompt, self._parameters(stop, changes), output_format)
        if stream and (parameters.num_return_sequences or 1) > 1:
            raise ValueError(f"num_return_sequences={parameters.num_return_sequences}: a stream has one answer")
        prefix = ""
        if parameters.return_full_text and isinstance(prompt, str):
            # Put before the answer here: if the server did it, stop strings would be found inside the prompt.
            prefix, parameters = prompt, parameters.updated({"return_full_text": None})
        generation = self._start_generation(prompt, parameters, output_format, stream=stream)
        generation.stop, generation.prefix = parameters.stop or (), prefix
        return generation

    def _parameters(self, stop: Sequence[str] | None, changes: dict[str, Any]) -> GenerationParameters:
        check_request(changes)
        given = {name: value for name, value in changes.items() if value is not None}
        return GenerationParameters(**self.given()).updated(given | ({} if stop is None else {"stop": stop}))

    def _resolve_length_limits(
        self, prompt: Prompt, parameters: GenerationParameters, output_format: OutputFormat | None = None
    ) -> GenerationParameters:
        """Replace `max_length` by the `max_new_tokens` that remain after the prompt, if its tokens can be counted."""
        longest = parameters.max_length
        tokens = None if longest is None else self.prompt_tokens(prompt, output_format)
        if longest is None or tokens is None:
            return parameters
        if tokens >= longest:
            excess = tokens - longest + 1
            raise ValueError(
                f"prompt: it has {tokens} tokens, {excess} too many for an answer within max_length={longest}; shorten it"
            )
        room = longest - tokens
        limit = min(parameters.max_new_tokens or room, room)
        return parameters.updated({"max_length": None, "max_new_tokens": limit})


def _check_prompt(prompt: Prompt) -> None:
    if not prompt:
        raise ValueError("prompt: it is empty; give at least one character, or one message")
    try:
        if isinstance(prompt, str):
            prompt.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"prompt: it is not valid text at character {error.start}") from error
