"""The Hugging Face inference toolkit: a text-generation pipeline that accepts the arguments of `generate()`.

Source: `sagemaker-huggingface-inference-toolkit` 2.x. It has no stream, and refuses arguments that `generate()` lacks.
"""

import json
from typing import Annotated, Any, ClassVar

from pydantic import Field
from sagechain.llms.wires import HuggingFace

from .base import ModelContainer, Reply, RequestModel, greedy_unless, json_reply


class HfRequest(RequestModel):
    """The body of a request."""

    inputs: Annotated[str, Field(min_length=1)]
    parameters: dict[str, Any] = Field(default_factory=dict)


class HfContainer(ModelContainer):
    """The inference toolkit."""

    invalid_status: ClassVar[int] = 400

    async def answer(self, body: bytes, attributes: str) -> Reply:
        request = HfRequest.model_validate(json.loads(body))
        parameters = dict(request.parameters)
        unused = [name for name in parameters if name not in HuggingFace.parameter_names]
        if unused:
            raise ValueError(f"The following `model_kwargs` are not used by the model: {unused}")
        if parameters.get("do_sample") and parameters.get("temperature") == 0:
            raise ValueError("`temperature` (=0) has to be a strictly positive float")
        prefix = request.inputs if parameters.pop("return_full_text", True) else ""
        if set(parameters) <= {"max_new_tokens", "max_length"}:
            parameters |= greedy_unless({})
        answers = await self.llm.acomplete(request.inputs, stop=[], **parameters)
        return json_reply([{"generated_text": prefix + answer.text} for answer in answers])

    def error(self, status: int, message: str) -> Reply:
        kind = "InternalServerException" if status >= 500 else "BadRequestException"
        return json_reply({"code": status, "type": kind, "message": message, "error": message}, status)
