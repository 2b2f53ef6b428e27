"""What a text model, or the server behind it, does itself, so that the chat model above it leaves that work to it."""

from dataclasses import dataclass

from sagechain.prompts import Escaping
from sagechain.prompts.families import COMMON_ESCAPING

from .role_messages import TEMPLATE_ESCAPING


@dataclass(frozen=True)
class Capabilities:
    """The default is a model that continues text and knows nothing of messages, tools or schemas."""

    takes_roles: bool = False
    """Messages may be sent with their roles: the model's chat template is applied where the model runs."""
    requires_roles: bool = False
    """A plain prompt would be read as one user message."""
    role_escaping: Escaping = TEMPLATE_ESCAPING + COMMON_ESCAPING
    """What is escaped in messages that are sent with their roles."""
    native_tools: bool = False
    """Tools are sent in the server's own form, and `generation_info["tool_calls"]` has OpenAI's deltas, with `index`."""
    constrained_decoding: bool = False
    """The decoding follows the output format, so that every answer that is not truncated has it."""
