"""The layout of Llama 2 chat models.

Source: Meta's reference code for Llama 2, as SageMaker JumpStart's model pages show it. The first `<s>` is left out:
the server's tokenizer adds it, and a prompt that begins with two is not what the model was trained on.
"""

from typing import ClassVar

from ..escaping import Escaping
from .base import PromptFamily, RoleMessage, alternate_roles


class Llama2(PromptFamily):
    """`[INST] <<SYS>> … <</SYS>> … [/INST] answer </s><s>[INST] … [/INST]`"""

    name: ClassVar[str] = "llama2"
    stop: ClassVar[tuple[str, ...]] = ("</s>",)
    context: ClassVar[int | None] = 4096  # arXiv 2307.09288, table 1
    escaping: ClassVar[Escaping] = Escaping(
        [
            (r"\[", r"\s*/?\s*INST\s*\]"),
            (r"<", r"<\s*/?\s*SYS\s*>>"),
            (r"<", r"\s*/?\s*s\s*>"),
            (r"<", r"(?:unk|pad)>"),
        ]
    )

    def layout(self, turns: list[RoleMessage]) -> str:
        """Every message stripped; the system text folded into the first user turn."""
        system, exchange = alternate_roles([RoleMessage(turn.role, turn.text.strip()) for turn in turns])
        texts = [turn.text for turn in exchange]
        if system:
            texts[0] = f"<<SYS>>\n{system}\n<</SYS>>\n\n{texts[0]}"
        finished = "".join(f"[INST] {asked} [/INST] {answered} </s><s>" for asked, answered in _pairs(texts))
        return f"{finished}[INST] {texts[-1]} [/INST]"


def _pairs(texts: list[str]) -> list[tuple[str, str]]:
    return list(zip(texts[:-1:2], texts[1::2], strict=True))
