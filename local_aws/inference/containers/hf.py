"""The Hugging Face inference toolkit: a text-generation pipeline that takes `generate()`'s own arguments.

Source: `sagemaker-huggingface-inference-toolkit` 2.x. It has no stream, and refuses arguments that `generate()` lacks.
"""

import json
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from sagechain.llms.wires import HuggingFace

from .base import ModelContainer, Reply, greedy, json_reply


class HfRequest(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="ignore", strict=True)
    inputs: Annotated[str, Field(min_length=1)]
    parameters: dict[str, Any] = {}


class HfContainer(ModelContainer):
    """The inference toolkit."""

    refuses_with: ClassVar[int] = 400

    async def answer(self, body: bytes, attributes: str) -> Reply:
        """Answer one request."""
        request = HfRequest.model_validate(json.loads(body))
        given = dict(request.parameters)
        unused = [name for name in given if name not in HuggingFace.parameter_names]
        if unused:
            raise ValueError(f"The following `model_kwargs` are not used by the model: {unused}")
        if given.get("do_sample") and given.get("temperature") == 0:
            raise ValueError("`temperature` (=0) has to be a strictly positive float")
        whole = given.pop("return_full_text", True)
        if set(given) <= {"max_new_tokens", "max_length"}:
            given |= greedy({})
        answers = await self.llm.acomplete(request.inputs, stop=[], **given)
        prompt = request.inputs if whole else ""
        return json_reply([{"generated_text": prompt + answer.text} for answer in answers])

    def refusal(self, status: int, message: str) -> Reply:
        """An error, in the form of this container."""
        kind = "InternalServerException" if status >= 500 else "BadRequestException"
        return json_reply({"code": status, "type": kind, "message": message, "error": message}, status)
