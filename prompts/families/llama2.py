"""The layout of Llama 2 chat models.

Source: Meta's reference code for Llama 2, as SageMaker JumpStart's model pages show it. The first `<s>` is left out: the
server's tokenizer adds it, and the model was not trained on prompts that begin with two.
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
            (r"\[", r"\s*+/?+\s*+INST\s*+\]"),
            (r"<", r"<\s*+/?+\s*+SYS\s*+>>"),
            (r"<", r"\s*+/?+\s*+s\s*+>"),
            (r"<", r"(?:unk|pad)>"),
        ]
    )

    def layout(self, messages: list[RoleMessage]) -> str:
        """Every message stripped; the system text is part of the first user message."""
        system, exchange = alternate_roles([RoleMessage(message.role, message.text.strip()) for message in messages])
        texts = [message.text for message in exchange]
        if system:
            texts[0] = f"<<SYS>>\n{system}\n<</SYS>>\n\n{texts[0]}"
        past = zip(texts[:-1:2], texts[1::2], strict=True)
        answered = "".join(f"[INST] {question} [/INST] {answer} </s><s>" for question, answer in past)
        return f"{answered}[INST] {texts[-1]} [/INST]"
