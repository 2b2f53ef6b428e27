"""Which wires a reply's format belongs to, so that the error for a reply in the wrong format names the right `?wire=…`."""

from collections.abc import Mapping
from typing import Any

OLDER_LMI = (
    'this is the format of older LMI containers (DJL 0.25 and before, or without a rolling batch), {"outputs": […]}, which '
    "has no end marker, so that a cut answer would look whole; deploy a newer version of the container"
)
TEXT_COMPLETIONS = (
    "this is the format of OpenAI's text completions, which no wire reads; the container's route for chats is read by "
    "`?wire=messages`"
)


def format_hint(reply: Any) -> str:
    """What to say about a reply that another wire reads: that wire; empty if the format is unknown."""
    items = [item for item in (reply if isinstance(reply, list) else [reply]) if isinstance(item, Mapping)]
    if not items:
        return ""
    item, is_list = items[0], isinstance(reply, list)
    if "outputs" in item:
        return OLDER_LMI
    choices = item.get("choices")
    if isinstance(choices, list) and any(isinstance(choice, Mapping) and "text" in choice for choice in choices):
        return TEXT_COMPLETIONS
    wires = _wires(item, is_list=is_list)
    return f"this is the format of {' or '.join(f'`?wire={wire}`' for wire in wires)}" if wires else ""


def _wires(item: Mapping[str, Any], *, is_list: bool) -> tuple[str, ...]:
    if isinstance(item.get("choices"), list):
        return ("messages",)
    if isinstance(item.get("token"), Mapping):
        return ("tgi", "lmi")
    if "generation" in item:
        return ("llama2-dialog" if isinstance(item["generation"], Mapping) else "llama2-text",)
    if "generated_text" in item:
        return ("hf", "tgi") if is_list and not item.get("details") else ("tgi", "lmi")
    return ()
