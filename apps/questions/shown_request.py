"""What is sent to a model, on standard error (`--verbose`): the parameters, and the prompt as the model gets it."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sagechain.command import print_note
from sagechain.llms import PARAMETER_NAMES

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import BaseMessage

FORMAT_OPTIONS = ("tools", "tool_choice", "parallel_tool_calls", "response_format")


def print_request(
    model: str, chat: "BaseChatModel", messages: "Sequence[BaseMessage]", options: Mapping[str, Any]
) -> None:
    """Print one request. Only generation parameters are printed, so no credentials are.

    Args:
        model: its URI.
        chat: the chat model.
        messages: the messages of the request.
        options: LangChain's options of the request.
    """
    from sagechain.llms import PromptedChatModel

    prompt: Any = messages
    given = {name: options[name] for name in FORMAT_OPTIONS if options.get(name) is not None}
    parameters = {name: options[name] for name in PARAMETER_NAMES if options.get(name) is not None}
    if isinstance(chat, PromptedChatModel):
        request = chat.preview(messages, **given)
        prompt = request.prompt
        parameters |= {name: request.options[name] for name in PARAMETER_NAMES if request.options.get(name) is not None}
    print_note(f"(Request to {model}:)")
    for name, value in (parameters | given).items():
        print_note(f"  {name}={json.dumps(value, ensure_ascii=False, default=str)}")
    print_note("(Prompt:)" if isinstance(prompt, str) else "(Messages:)")
    if isinstance(prompt, str):
        print_note(prompt)
    else:
        for message in prompt:
            print_note(f"{message.type}: {message.text}")
    print_note("(End of the request.)")
