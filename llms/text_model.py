"""What every LLM of sagechain does, wherever its model lives: check, start, cut, stream, and run many at once.

An engine (`sagemaker.py`, `llama_cpp.py`) subclasses `TextModel` and says one thing: how a call is started. It gives back
a `ModelCall`, which is read in any thread and closed from any other. All else is here, once: stop strings, streams,
async, batches, cancelling, and the error for a stream that broke after its first piece.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from contextvars import copy_context
from typing import Annotated, Any, Self

import anyio
import anyio.to_thread
from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.llms import LLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from pydantic import Field, PrivateAttr
from sagechain.prompts import OutputFormat

from .capabilities import Capabilities
from .concurrency import POLL_SECONDS, Turns
from .generation import ModelCall, Prompt, cut, whole
from .parameters import PARAMETER_NAMES, GenerationFields, GenerationParameters

LONGEST_TIMEOUT = 86_400  # seconds: a day; what sockets take ends not far above


class TextModel(GenerationFields, LLM, ABC):
    """A text model: the prompt goes as it is, and text comes back. Usable from several threads and event loops."""

    timeout: Annotated[float, Field(gt=0, le=LONGEST_TIMEOUT, strict=True)] = 70.0
    """Seconds: for a whole call, retries included; in a stream to the first piece and between pieces."""
    max_retries: Annotated[int, Field(ge=0, strict=True)] = 2
    """Attempts after the first, for errors that say they are `retryable`."""
    max_concurrency: Annotated[int, Field(ge=1, strict=True)] = 64
    """Calls in flight at once; more wait for their turn."""
    family: str | None = None
    """The prompt family in which a chat over this model is laid out."""

    _turns: Turns = PrivateAttr()
    _limiter: RunVar[CapacityLimiter] = PrivateAttr(default_factory=lambda: RunVar("calls in flight"))

    def model_post_init(self, context: Any, /) -> None:
        """Make the turns of `max_concurrency`; copies of the model share them."""
        super().model_post_init(context)
        self._turns = Turns(self.max_concurrency)

    @property
    def capabilities(self) -> Capabilities:
        """What the model, or the server behind it, does itself."""
        return Capabilities()

    @property
    def name_of_model(self) -> str:
        """What to call the model in traces and metadata."""
        return self._llm_type

    def renewed(self, **changes: Any) -> Self:
        """A model like this one with some fields replaced, checked anew."""
        own = {name: value for name, value in self.__dict__.items() if name in type(self).model_fields}
        return type(self)(**{**own, **changes})

    @property
    def context_size(self) -> int | None:
        """Most tokens of prompt and answer together that the model takes; None where it is not known."""
        return None

    def text_tokens(self, text: str) -> int | None:
        """How many tokens a text has by itself, by the model's own tokenizer; None where that is not at hand."""
        return None

    def prompt_tokens(self, prompt: Prompt, output_format: OutputFormat | None = None) -> int | None:
        """How many tokens the model reads for a prompt, those that begin it among them; None where nobody here knows.

        Args:
            prompt: text, or messages where the model takes roles.
            output_format: what the answer has to be; beside messages the model is told of it.
        """
        return None

    @property
    def _remedy(self) -> str:
        """What helps where a prompt leaves no room for an answer."""
        return "shorten it"

    def check(self, prompt: Prompt) -> None:
        """Refuse a prompt as a call would, before any is made.

        Raises:
            ValueError: it is empty or no valid text; or its tokens, where they can be counted, leave no room for an answer
                in the model's context or in `max_length`.
        """
        self._asked(_checked(prompt), None, {})
        room, asked = self.context_size, self.prompt_tokens(prompt)
        if room is not None and asked is not None and asked >= room:
            raise too_long(asked, room, self._remedy)

    def get_num_tokens(self, text: str) -> int:
        """As `text_tokens`; where the tokenizer is not at hand, an estimate that is rather too high."""
        counted = self.text_tokens(text)
        return estimated_tokens(text) if counted is None else counted

    @abstractmethod
    def _start(
        self,
        prompt: Prompt,
        parameters: GenerationParameters,
        *,
        stream: bool,
        output_format: OutputFormat | None = None,
    ) -> ModelCall:
        """Begin one call; nothing is sent before it is iterated. Raises ValueError on input that can't be sent.

        The model sees `output_format` beside messages; a text prompt shows it already. An engine with constrained decoding
        also constrains decoding to it.
        """

    # Whole answers

    def complete(
        self,
        prompt: Prompt,
        stop: Sequence[str] | None = None,
        *,
        output_format: OutputFormat | None = None,
        **changes: Any,
    ) -> list[GenerationChunk]:
        """The answers to one prompt (one, unless `num_return_sequences` says more).

        Args:
            prompt: text, or messages where the model takes roles.
            stop: replaces the model's own stop strings; `[]` means none.
            output_format: what the answer has to be (`sagechain.prompts.output_format`).
            changes: inference parameters for this call.

        Raises:
            ValueError: bad input; nothing was sent.
            LLMError: the call failed.
        """
        parameters, prefix = self._asked(prompt, stop, changes, output_format)
        with (
            closing(self._start(_checked(prompt), parameters, stream=False, output_format=output_format)) as call,
            self._turn(),
        ):
            return whole(call, parameters, prefix)

    async def acomplete(
        self,
        prompt: Prompt,
        stop: Sequence[str] | None = None,
        *,
        output_format: OutputFormat | None = None,
        **changes: Any,
    ) -> list[GenerationChunk]:
        """As `complete`; a cancel ends the model's work."""
        parameters, prefix = self._asked(prompt, stop, changes, output_format)
        call = self._start(_checked(prompt), parameters, stream=False, output_format=output_format)
        async with self._in_flight(call) as limiter:
            return await anyio.to_thread.run_sync(
                whole, call, parameters, prefix, abandon_on_cancel=True, limiter=limiter
            )

    # Streams

    def pieces(
        self,
        prompt: Prompt,
        stop: Sequence[str] | None = None,
        *,
        output_format: OutputFormat | None = None,
        **changes: Any,
    ) -> Generator[GenerationChunk, None, None]:
        """One answer in pieces as they arrive; arguments and errors as for `complete`.

        After the first piece every failure is a StreamInterrupted. Closing the iterator ends the model's work.
        """
        parameters, prefix = self._asked_for_one(prompt, stop, changes, output_format)
        with (
            closing(self._start(_checked(prompt), parameters, stream=True, output_format=output_format)) as call,
            self._turn(),
        ):
            yield from cut(call, parameters, prefix)

    async def apieces(
        self,
        prompt: Prompt,
        stop: Sequence[str] | None = None,
        *,
        output_format: OutputFormat | None = None,
        **changes: Any,
    ) -> AsyncGenerator[GenerationChunk, None]:
        """As `pieces`; a cancel ends the model's work."""
        parameters, prefix = self._asked_for_one(prompt, stop, changes, output_format)
        call = self._start(_checked(prompt), parameters, stream=True, output_format=output_format)
        async with self._in_flight(call) as limiter:
            pieces = cut(call, parameters, prefix)
            while True:
                piece = await anyio.to_thread.run_sync(next, pieces, None, abandon_on_cancel=True, limiter=limiter)
                if piece is None:
                    return
                yield piece

    # LangChain's side

    def generate(self, prompts: list[str], stop: list[str] | None = None, *args: Any, **options: Any) -> LLMResult:
        """As LangChain's. Parameters of the call become the model's: LangChain's cache takes the model for its key."""
        model, rest = self._with_parameters(options)
        return super(TextModel, model).generate(prompts, stop, *args, **rest)

    async def agenerate(
        self, prompts: list[str], stop: list[str] | None = None, *args: Any, **options: Any
    ) -> LLMResult:
        """As `generate`."""
        model, rest = self._with_parameters(options)
        return await super(TextModel, model).agenerate(prompts, stop, *args, **rest)

    def _with_parameters(self, options: dict[str, Any]) -> tuple[Self, dict[str, Any]]:
        given = {name: value for name, value in options.items() if name in PARAMETER_NAMES}
        changes = {name: value for name, value in given.items() if value is not None}
        rest = {name: value for name, value in options.items() if name not in given}
        return self.model_copy(update=changes) if changes else self, rest

    def _call(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> str:
        return self.complete(prompt, stop, **kwargs)[0].text

    async def _acall(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> str:
        return (await self.acomplete(prompt, stop, **kwargs))[0].text

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """All prompts, `max_concurrency` of them at once; LangChain's own goes one by one."""
        if len(prompts) == 1:
            return self._result([self.complete(prompts[0], stop, **kwargs)])
        return self._result(self._together(self._batch(prompts, stop, kwargs)))

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """As `_generate`: one thread here waits for all, which costs less than a task for each."""
        if len(prompts) == 1:
            return self._result([await self.acomplete(prompts[0], stop, **kwargs)])
        batch = self._batch(prompts, stop, kwargs)
        try:
            return self._result(
                await anyio.to_thread.run_sync(
                    self._together, batch, abandon_on_cancel=True, limiter=CapacityLimiter(1)
                )
            )
        finally:
            for call, _, _ in batch:
                call.close()

    def _batch(
        self, prompts: list[str], stop: list[str] | None, changes: dict[str, Any]
    ) -> list[tuple[ModelCall, GenerationParameters, str]]:
        """A call for each prompt, with its parameters and what goes before its answer; nothing is sent yet."""
        asked = [(_checked(prompt), *self._asked(prompt, stop, changes)) for prompt in prompts]
        return [
            (self._start(prompt, parameters, stream=False), parameters, prefix) for prompt, parameters, prefix in asked
        ]

    def _together(self, batch: list[tuple[ModelCall, GenerationParameters, str]]) -> list[list[GenerationChunk]]:
        given_up = threading.Event()

        def answered(call: ModelCall, parameters: GenerationParameters, prefix: str) -> list[GenerationChunk]:
            if not self._turns.take(given_up=given_up):
                return []
            try:
                return whole(call, parameters, prefix)
            finally:
                self._turns.end()

        with ThreadPoolExecutor(min(len(batch), self.max_concurrency)) as threads:
            answers = [
                threads.submit(copy_context().run, answered, call, parameters, prefix)
                for call, parameters, prefix in batch
            ]
            try:
                done = wait(answers, return_when=FIRST_EXCEPTION).done
                for answer in done:
                    answer.result()
                return [answer.result() for answer in answers]
            finally:
                # After a failure, or Ctrl-C, nobody waits for the others any more.
                given_up.set()
                threads.shutdown(wait=False, cancel_futures=True)
                for call, _, _ in batch:
                    call.close()

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        with closing(self.pieces(prompt, stop, **kwargs)) as pieces:
            for piece in pieces:
                if run_manager:
                    run_manager.on_llm_new_token(piece.text, chunk=piece)
                yield piece

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        async with aclosing(self.apieces(prompt, stop, **kwargs)) as pieces:
            async for piece in pieces:
                if run_manager:
                    await run_manager.on_llm_new_token(piece.text, chunk=piece)
                yield piece

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """All that an answer depends on: LangChain's cache takes it for its key."""
        return {"model": self.name_of_model, "family": self.family, **self._parameters(None, {}).given()}

    def _parameters(self, stop: Sequence[str] | None, changes: dict[str, Any]) -> GenerationParameters:
        own = {name: value for name in PARAMETER_NAMES if (value := getattr(self, name)) is not None}
        given = {name: value for name, value in changes.items() if value is not None}
        return GenerationParameters(**own).updated(given | ({} if stop is None else {"stop": stop}))

    def _asked(
        self,
        prompt: Prompt,
        stop: Sequence[str] | None,
        changes: dict[str, Any],
        output_format: OutputFormat | None = None,
    ) -> tuple[GenerationParameters, str]:
        """The parameters of one call, and what goes before its answer.

        `return_full_text` is met here: a server that put the prompt before the answer would have us cut inside it.
        So is `max_length`, where the server does not count and the model's tokenizer is at hand.
        """
        parameters = self._counted(prompt, self._parameters(stop, changes), output_format)
        prefix = prompt if parameters.return_full_text and isinstance(prompt, str) else ""
        return parameters.updated({"return_full_text": None}) if prefix else parameters, prefix

    def _counted(
        self, prompt: Prompt, parameters: GenerationParameters, output_format: OutputFormat | None = None
    ) -> GenerationParameters:
        """`max_length` as the `max_new_tokens` that are left after the prompt."""
        longest = parameters.max_length
        asked = None if longest is None else self.prompt_tokens(prompt, output_format)
        if longest is None or asked is None:
            return parameters
        if asked >= longest:
            over = asked - longest + 1
            raise ValueError(
                f"prompt: it has {asked} tokens, {over} too many for an answer within max_length={longest}; shorten it"
            )
        room = longest - asked
        limit = min(parameters.max_new_tokens or room, room)
        return parameters.updated({"max_length": None, "max_new_tokens": limit})

    def _asked_for_one(
        self, prompt: Prompt, stop: Sequence[str] | None, changes: dict[str, Any], output_format: OutputFormat | None
    ) -> tuple[GenerationParameters, str]:
        parameters, prefix = self._asked(prompt, stop, changes, output_format)
        if (parameters.num_return_sequences or 1) > 1:
            raise ValueError(f"num_return_sequences={parameters.num_return_sequences}: a stream has one answer")
        return parameters, prefix

    def _result(self, answers: list[list[GenerationChunk]]) -> LLMResult:
        generations = [[Generation(text=a.text, generation_info=a.generation_info) for a in each] for each in answers]
        return LLMResult(generations=list(generations), llm_output={"model_name": self.name_of_model})

    @asynccontextmanager
    async def _in_flight(self, call: ModelCall) -> AsyncIterator[CapacityLimiter]:
        """A turn among `max_concurrency`; the limiter it gives is for the call's threads."""
        limiter = self._limiter.get(None)
        if limiter is None:
            limiter = CapacityLimiter(self.max_concurrency)
            self._limiter.set(limiter)
        await limiter.acquire_on_behalf_of(call)
        try:
            # Other event loops, threads and batches take turns too.
            while not self._turns.taken():
                await anyio.sleep(POLL_SECONDS)
            try:
                yield CapacityLimiter(1)  # a call needs one thread at a time, and has its turn already
            finally:
                call.close()
                self._turns.end()
        finally:
            limiter.release_on_behalf_of(call)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """As `_in_flight`, for a call that this thread makes."""
        owner = threading.get_ident()
        self._turns.take(owner)
        try:
            yield
        finally:
            self._turns.end(owner)


def estimated_tokens(text: str) -> int:
    """Rather too many: a token has about 4 bytes of English, and here it is 3."""
    return -(-len(text.encode()) // 3)


def too_long(tokens: int, context: int, remedy: str) -> ValueError:
    """The error for a prompt that the model's context has no room for."""
    return ValueError(
        f"prompt: it has {tokens} tokens, {tokens - context} more than the context of {context}; {remedy}"
    )


def _checked(prompt: Prompt) -> Prompt:
    if not prompt:
        raise ValueError("prompt: it is empty; give at least one character, or one message")
    try:
        if isinstance(prompt, str):
            prompt.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"prompt: it is not valid text at character {error.start}") from error
    return prompt
