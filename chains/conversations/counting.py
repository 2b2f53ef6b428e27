"""The tokens of messages, by the model's own tokenizer where it has one here."""

import logging
from collections.abc import Sequence

from langchain_core.language_models.base import BaseLanguageModel
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from sagechain.llms import PromptedChatModel

logger = logging.getLogger("sagechain.chains")


class TokenCounter:
    """Counts the tokens of prompts; estimates them, at 4 characters a token, once the chat model has shown that it cannot.

    LangChain's default is not used: it counts by GPT-2's tokenizer, after fetching that from the network.
    """

    def __init__(self, chat: BaseChatModel) -> None:
        self._is_ours = isinstance(chat, PromptedChatModel)
        self._chat, self._estimates = chat, False
        if (
            not self._is_ours
            and not _replaces(chat, "get_token_ids", "get_num_tokens")
            and not chat.custom_get_token_ids
        ):
            self._estimates = not _replaces(chat, "get_num_tokens_from_messages")
            # A method that asks the model's server falls back to LangChain's default if that refuses.
            self._chat = chat.model_copy(update={"custom_get_token_ids": _refuse})

    def count(self, messages: Sequence[BaseMessage]) -> int:
        """The tokens of a prompt of these messages.

        Raises:
            ValueError: a `PromptedChatModel` cannot send the messages.
        """
        if not self._estimates:
            try:
                return self._chat.get_num_tokens_from_messages(list(messages))
            except Exception as error:
                if self._is_ours:
                    raise
                self._estimates = True
                logger.info("%s cannot count tokens, they are estimated: %s", type(self._chat).__name__, error)
        return count_tokens_approximately(messages)


def _replaces(chat: BaseChatModel, *methods: str) -> bool:
    return any(getattr(type(chat), name) is not getattr(BaseLanguageModel, name) for name in methods)


def _refuse(text: str) -> list[int]:
    raise NotImplementedError("it has no tokenizer")
