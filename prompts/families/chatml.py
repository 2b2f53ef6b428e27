"""ChatML, the layout of SmolLM2, Qwen and others: `<|im_start|>role … <|im_end|>`.

No system text is added to a conversation without one, although SmolLM2's own template adds one.
"""

from typing import ClassVar

from ..escaping import Escaping
from .base import PromptFamily, RoleMessage


class ChatML(PromptFamily):
    """`<|im_start|>user\\n…<|im_end|>\\n<|im_start|>assistant\\n`"""

    name: ClassVar[str] = "chatml"
    stop: ClassVar[tuple[str, ...]] = ("<|im_end|>", "<|endoftext|>")
    json_tool_results: ClassVar[bool] = True
    escaping: ClassVar[Escaping] = Escaping(
        [
            ("<", r"\|[^|<>\s]{1,40}\|>"),
            # Further special tokens of SmolLM2's tokenizer.
            (
                "<",
                r"(?:repo_name|reponame|file_sep|filename|gh_stars|issue_(?:start|comment|closed)"
                r"|jupyter_(?:start|text|code|output|script)|empty_output)>",
            ),
        ]
    )

    def layout(self, messages: list[RoleMessage]) -> str:
        """Every message unchanged, each between its markers, and the start of the assistant's answer."""
        texts = [f"<|im_start|>{message.role}\n{message.text}<|im_end|>\n" for message in messages]
        return "".join([*texts, "<|im_start|>assistant\n"])
