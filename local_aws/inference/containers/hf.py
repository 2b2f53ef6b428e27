"""The Hugging Face inference toolkit: a text-generation pipeline that accepts the arguments of `generate()`.

`inputs` is a text, a conversation (a list of messages), or a list of either. It stops after 256 new tokens, whatever
`max_length` says, unless `"max_new_tokens": null` stands beside that. Whatever fails is a 400 of one type.

Source: `sagemaker-huggingface-inference-toolkit` 2.6 on multi-model-server 1.1.11, over transformers 4.52 to 4.57. It has
no stream, and refuses arguments that `generate()` lacks.
"""

import json
from typing import Any, ClassVar

import anyio.to_thread
from langchain_core.messages import convert_to_messages
from pydantic import Field, TypeAdapter
from sagechain.llms import Prompt
from sagechain.llms.wires import HuggingFace
from sagechain.prompts import get_family

from .base import ModelContainer, Reply, RequestModel, greedy_unless, json_reply

MAX_NEW_TOKENS = 256  # of the pipeline
LENGTH_NEW_TOKENS = 20  # of `generate()`, for `"max_new_tokens": null` without `max_length`
SAMPLING = ("temperature", "top_k", "top_p")
EMPTY_PROMPT = "\n"  # a pipeline starts from the tokenizer's first token, which our engines do not take as a prompt

Parameters = dict[str, Any]


class HfMessage(RequestModel):
    """One message of a conversation."""

    role: str
    content: str


Conversation = list[HfMessage]
Input = str | Conversation
_INPUTS: TypeAdapter[Input | list[Input]] = TypeAdapter(Input | list[Input])


class HfRequest(RequestModel):
    """The body of a request."""

    inputs: Any
    parameters: Parameters | None = Field(default_factory=dict)


class HfContainer(ModelContainer):
    """The inference toolkit."""

    invalid_status: ClassVar[int] = 400

    async def answer(self, body: bytes, attributes: str) -> Reply:
        request = HfRequest.model_validate(json.loads(body))
        inputs = _INPUTS.validate_python(request.inputs, strict=True)
        parameters = request.parameters or {}
        if isinstance(inputs, str) or (inputs and all(isinstance(one, HfMessage) for one in inputs)):
            return json_reply(await self._sequences(inputs, parameters))  # type: ignore[arg-type]
        if not inputs:
            raise ValueError("list index out of range")  # the pipeline's own words
        return json_reply([await self._sequences(one, parameters) for one in inputs])  # type: ignore[arg-type]

    def error(self, status: int, message: str) -> Reply:
        return json_reply({"code": 400, "type": "InternalServerException", "message": message}, 400)

    async def _sequences(self, given: Input, parameters: Parameters) -> list[dict[str, Any]]:
        """What the pipeline returns for one input."""
        prompt, stop = self._prompt(given)
        answers = await self.llm.acomplete(prompt, stop=stop, **await self._settings(prompt, parameters))
        texts = [answer.text for answer in answers]
        if parameters.get("return_full_text", True) is False:
            return [{"generated_text": text} for text in texts]
        if isinstance(given, str):
            return [{"generated_text": given + text} for text in texts]
        messages = [message.model_dump() for message in given]
        return [{"generated_text": [*messages, {"role": "assistant", "content": text}]} for text in texts]

    def _prompt(self, given: Input) -> tuple[Prompt, list[str]]:
        """The prompt, and its stop strings: those of a conversation's layout."""
        if isinstance(given, str):
            return given or EMPTY_PROMPT, []
        messages = convert_to_messages([message.model_dump() for message in given])
        if self.llm.capabilities.takes_roles:
            return messages, []
        rendered = get_family(self.llm.family or "plain").render(messages)
        return rendered.text, list(rendered.stop)

    async def _settings(self, prompt: Prompt, given: Parameters) -> Parameters:
        """The arguments of `generate()` as ours. Raises ValueError: one is unknown, or out of range."""
        unused = [name for name in given if name not in HuggingFace.parameter_names]
        if unused:
            raise ValueError(
                f"The following `model_kwargs` are not used by the model: {unused} (note: typos in the generate arguments "
                "will also show up in this list)"
            )
        parameters = {name: value for name, value in given.items() if value is not None and name != "return_full_text"}
        if "max_new_tokens" in given and given["max_new_tokens"] is None:
            limit = {} if "max_length" in parameters else {"max_new_tokens": LENGTH_NEW_TOKENS}
        else:
            parameters.pop("max_length", None)
            limit = {} if "max_new_tokens" in parameters else {"max_new_tokens": await self._default_limit(prompt)}
        sampling = {name: parameters.pop(name) for name in SAMPLING if name in parameters}
        if sampling.get("top_p", 0) >= 1:  # it keeps all tokens, also where it is 2
            del sampling["top_p"]
        if parameters.get("do_sample") is False:
            sampling = {}
        elif sampling.get("temperature") == 0:
            raise ValueError(
                "`temperature` (=0) has to be a strictly positive float, otherwise your next token scores will be invalid. "
                "If you're looking for greedy decoding strategies, set `do_sample=False`."
            )
        chosen = {**parameters, **limit, **sampling}
        return chosen if "do_sample" in parameters else {**chosen, **greedy_unless(sampling)}

    async def _default_limit(self, prompt: Prompt) -> int:
        """The pipeline's limit, or what the context has left."""
        context = self.llm.context_size
        counted = None if context is None else await anyio.to_thread.run_sync(self.llm.prompt_tokens, prompt)
        return MAX_NEW_TOKENS if context is None or counted is None else max(1, min(MAX_NEW_TOKENS, context - counted))
