"""JumpStart's Llama 2, model version 2.x: dialogs or texts in, one answer each, the EULA accepted by an attribute.

Source: JumpStart's pages for `meta-textgeneration-llama-2-7b-f`.
"""

import json
import re
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from pydantic import ConfigDict, Field
from sagechain.prompts import get_family
from sagechain.prompts.families import RoleMessage

from .base import ModelContainer, Reply, RequestModel, greedy_unless, json_reply

DEFAULT_NEW_TOKENS = 256
EULA_MESSAGE = (
    "This model has a licence to accept first: pass custom_attributes='accept_eula=true' with the request. "
    "By doing so you accept the end-user licence agreement of the model."
)


class Llama2Parameters(RequestModel):
    """What the Llama 2 container of JumpStart reads."""

    max_new_tokens: Annotated[int, Field(gt=0)] = DEFAULT_NEW_TOKENS
    temperature: Annotated[float, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None


class DialogMessage(RequestModel):
    """One message of a dialog."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)
    role: Literal["system", "user", "assistant"]
    content: str


class DialogRequest(RequestModel):
    """A batch of dialogs."""

    inputs: Annotated[list[Annotated[list[DialogMessage], Field(min_length=1)]], Field(min_length=1)]
    parameters: Llama2Parameters = Llama2Parameters()


class TextRequest(RequestModel):
    """One text."""

    inputs: Annotated[str, Field(min_length=1)]
    parameters: Llama2Parameters = Llama2Parameters()


class Llama2Container(ModelContainer):
    """What both forms share."""

    invalid_status: ClassVar[int] = 400

    async def answer(self, body: bytes, attributes: str) -> Reply:
        if "accept_eula=true" not in re.split(r"[,;\s]+", attributes):
            return self.error(424, EULA_MESSAGE)
        return json_reply([{"generation": generation} for generation in await self.generations(json.loads(body))])

    @abstractmethod
    async def generations(self, body: Any) -> list[Any]:
        """The answers to a body."""

    def error(self, status: int, message: str) -> Reply:
        return json_reply({"code": status, "message": "prediction failure", "error": message}, status)


class TextContainer(Llama2Container):
    """Text in, text out; the prompt is passed on unchanged."""

    async def generations(self, body: Any) -> list[Any]:
        """One text."""
        request = TextRequest.model_validate(body)
        answers = await self.llm.acomplete(request.inputs, stop=[], **_settings(request.parameters))
        return [answer.text for answer in answers]


class DialogContainer(Llama2Container):
    """Dialogs in, a message each; the model's own template lays them out, unless its URI names a family."""

    async def generations(self, body: Any) -> list[Any]:
        """One message a dialog."""
        request = DialogRequest.model_validate(body)
        for dialog in request.inputs:
            _check_roles(dialog)
        settings = _settings(request.parameters)
        texts = [await self._reply(dialog, settings) for dialog in request.inputs]
        return [{"role": "assistant", "content": text} for text in texts]

    async def _reply(self, dialog: list[DialogMessage], settings: dict[str, Any]) -> str:
        kinds: dict[str, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
        messages = [kinds[message.role](message.content) for message in dialog]
        if self.llm.capabilities.takes_roles:
            return (await self.llm.acomplete(messages, stop=[], **settings))[0].text
        family = get_family(self.llm.family or "plain")
        # As in a real container nothing is escaped: `<tools>` in a system text is meant for the model.
        text = family.layout([RoleMessage(message.role, message.content) for message in dialog])
        return (await self.llm.acomplete(text, stop=list(family.stop), **settings))[0].text


def _settings(parameters: Llama2Parameters) -> dict[str, Any]:
    sampling = parameters.model_dump(exclude_none=True, exclude={"max_new_tokens"})
    return {**greedy_unless(sampling), "max_new_tokens": parameters.max_new_tokens}


def _check_roles(dialog: list[DialogMessage]) -> None:
    roles = [message.role for message in dialog]
    speakers = roles[1:] if roles[0] == "system" else roles
    alternate = all(role == ("user", "assistant")[position % 2] for position, role in enumerate(speakers))
    if not speakers or speakers[-1] != "user" or not alternate:
        raise ValueError(
            "a dialog may begin with 'system', then alternates 'user', 'assistant', 'user' … and ends with 'user'"
        )
