"""The wire of JumpStart's Llama 2 chat models, version 2.x: dialogs of roles, no stream, the EULA in a header.

Source: JumpStart's pages for `meta-textgeneration-llama-2-7b-f`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.outputs import GenerationChunk
from sagechain.llms.calls import Prompt
from sagechain.llms.parameters import GenerationParameters
from sagechain.llms.wires.base import OnUnsupported, Wire, wrong_shape
from sagechain.prompts.family import Turn, alternating, turns_of
from sagechain.prompts.llama2 import Llama2


class Llama2Dialog(Wire):
    """`{"inputs": [[{"role", "content"}…]], "parameters"}` → `[{"generation": {"role", "content"}}]`"""

    name: ClassVar[str] = "llama2-dialog"
    streams: ClassVar[bool] = False
    takes_roles: ClassVar[bool] = True
    needs_eula: ClassVar[bool] = True
    carries: ClassVar[Mapping[str, str]] = {name: name for name in ("max_new_tokens", "temperature", "top_p")}

    def request(
        self, prompt: Prompt, parameters: GenerationParameters, *, stream: bool, on_unsupported: OnUnsupported = "error"
    ) -> dict[str, Any]:
        """The body; temperature 0 is greedy here. A string is one user turn."""
        messages = [HumanMessage(prompt)] if isinstance(prompt, str) else prompt
        sent = self.parameters(parameters, on_unsupported)
        if parameters.do_sample is False:
            sent["temperature"] = 0
        return {"inputs": [_dialog(messages)], "parameters": sent}

    def replies(self, reply: Any) -> list[GenerationChunk]:
        """One answer a dialog."""
        try:
            texts = [item["generation"]["content"] for item in reply]
        except (TypeError, KeyError) as error:
            raise wrong_shape(reply) from error
        if not texts or not all(isinstance(text, str) for text in texts):
            raise wrong_shape(reply)
        return [GenerationChunk(text=text) for text in texts]


def _dialog(messages: Sequence[BaseMessage]) -> list[dict[str, str]]:
    """Roles that alternate, as the container asserts, with the layout's own tags neutralised."""
    turns = [Turn(turn.role, Llama2.tags.neutralised(turn.text)) for turn in turns_of(messages)]
    system, exchange = alternating(turns)
    first = [{"role": "system", "content": system}] if system else []
    return [*first, *({"role": turn.role, "content": turn.text} for turn in exchange)]
