"""ChatML, the layout of SmolLM2, Qwen and others: `<|im_start|>role … <|im_end|>`.

No system text is added where none is given, although SmolLM2's own template does so.
"""

from typing import ClassVar

from ..escaping import Escaping
from .base import PromptFamily, RoleMessage


class ChatML(PromptFamily):
    """`<|im_start|>user\\n…<|im_end|>\\n<|im_start|>assistant\\n`"""

    name: ClassVar[str] = "chatml"
    stop: ClassVar[tuple[str, ...]] = ("<|im_end|>", "<|endoftext|>")
    hermes: ClassVar[bool] = True
    escaping: ClassVar[Escaping] = Escaping(
        [
            ("<", r"\|[^|<>\s]{1,40}\|>"),
            # SmolLM2's tokenizer has these special tokens besides.
            (
                "<",
                r"(?:repo_name|reponame|file_sep|filename|gh_stars|issue_(?:start|comment|closed)"
                r"|jupyter_(?:start|text|code|output|script)|empty_output)>",
            ),
        ]
    )

    def layout(self, turns: list[RoleMessage]) -> str:
        """Every message in its place, as it is, and an assistant's turn opened."""
        return (
            "".join(f"<|im_start|>{turn.role}\n{turn.text}<|im_end|>\n" for turn in turns) + "<|im_start|>assistant\n"
        )
