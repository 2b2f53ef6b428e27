"""JumpStart's Llama 2 chat, model version 2.x: dialogs in, one answer each, the EULA accepted by an attribute.

Source: JumpStart's pages for `meta-textgeneration-llama-2-7b-f`.
"""

import json
import re
from typing import Annotated, Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sagechain.endpoints.runtime.containers.base import Container, Reply, complaints, greedy, json_reply
from sagechain.prompts import get_family

DEFAULT_NEW_TOKENS = 256
EULA_MESSAGE = (
    "This model has a licence to accept first: pass custom_attributes='accept_eula=true' with the request. "
    "By doing so you accept the end-user licence agreement of the model."
)


class DialogMessage(BaseModel):
    """One message of a dialog."""

    model_config = ConfigDict(extra="forbid", strict=True)
    role: Literal["system", "user", "assistant"]
    content: str


class DialogParameters(BaseModel):
    """What the Llama 2 container of JumpStart reads."""

    model_config = ConfigDict(extra="ignore", strict=True)
    max_new_tokens: Annotated[int, Field(gt=0)] | None = None
    temperature: Annotated[float, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None


class DialogRequest(BaseModel):
    """The body of a request: a batch of dialogs."""

    model_config = ConfigDict(extra="ignore", strict=True)
    inputs: Annotated[list[Annotated[list[DialogMessage], Field(min_length=1)]], Field(min_length=1)]
    parameters: DialogParameters = DialogParameters()


class DialogContainer(Container):
    """JumpStart's Llama 2 chat, version 2.x: dialogs in, one answer each, the EULA accepted by an attribute."""

    async def answer(self, body: bytes, attributes: str) -> Reply:
        """Answer one request."""
        if "accept_eula=true" not in re.split(r"[,;\s]+", attributes):
            return self.refusal(424, EULA_MESSAGE)
        try:
            request = DialogRequest.model_validate(json.loads(body))
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            return self.refusal(400, f"the body is not JSON: {error}")
        except ValidationError as error:
            return self.refusal(400, complaints(error))
        for dialog in request.inputs:
            if complaint := _out_of_turn(dialog):
                return self.refusal(400, complaint)
        given = request.parameters.model_dump(exclude_none=True, exclude={"max_new_tokens"})
        limit = request.parameters.max_new_tokens or DEFAULT_NEW_TOKENS
        texts = [await self._reply(dialog, {**greedy(given), "max_new_tokens": limit}) for dialog in request.inputs]
        return json_reply([{"generation": {"role": "assistant", "content": text}} for text in texts])

    async def _reply(self, dialog: list[DialogMessage], parameters: dict[str, Any]) -> str:
        """The model's own template lays the dialog out, unless its URI names a family."""
        kinds: dict[str, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
        messages = [kinds[message.role](message.content) for message in dialog]
        if self.llm.takes_roles:
            return (await self.llm.acomplete(messages, stop=[], **parameters))[0].text
        rendered = get_family(self.llm.family or "plain").render(messages)
        return (await self.llm.acomplete(rendered.text, stop=rendered.stop, **parameters))[0].text

    def refusal(self, status: int, message: str) -> Reply:
        """An error, in the form of this container."""
        return json_reply({"code": status, "message": "prediction failure", "error": message}, status)


def _out_of_turn(dialog: list[DialogMessage]) -> str | None:
    roles = [message.role for message in dialog]
    exchange = roles[1:] if roles[0] == "system" else roles
    if (
        exchange
        and exchange[-1] == "user"
        and all(role == ("user", "assistant")[position % 2] for position, role in enumerate(exchange))
    ):
        return None
    return "a dialog may begin with 'system', then goes 'user', 'assistant', 'user' … and ends with 'user'"
