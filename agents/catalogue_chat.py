"""A chat model that has a shop's catalogue before its eyes: the sheets of the products that a conversation is about.

Before each call the products are picked by the words of the user's turns (`catalogue.py`), and the prompt with their sheets
goes before the last of these: given as a system text, SmolLM2-135M named none of the products (tried in November 2026).
A turn that asks for what the shop does not have is answered here, the same each time, and no model is asked.

It is a chat model like any other, so `conversation` keeps its threads, and counts and trims the prompt as it will be sent.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import ModelProfile
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import PromptTemplate
from sagechain.agents.catalogue import Catalogue


class CatalogueChat(BaseChatModel):
    """`chat`, asked with `prompt` before the last turn; its `products` are the sheets that belong to the conversation."""

    chat: BaseChatModel
    catalogue: Catalogue
    prompt: PromptTemplate

    @property
    def _llm_type(self) -> str:
        return "sagechain-catalogue"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        sheets = [product.sheet for product in self.catalogue.products]
        return {**self.chat._identifying_params, "prompt": self.prompt.template, "sheets": sheets}

    def _resolve_model_profile(self) -> ModelProfile | None:
        return self.chat.profile

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Any = None) -> int:
        """How many tokens are sent for these messages, sheets among them."""
        told = self._told(messages)
        return 0 if isinstance(told, str) else self.chat.get_num_tokens_from_messages(told, tools)

    def _told(self, messages: list[BaseMessage]) -> list[BaseMessage] | str:
        """The messages with the sheets before the last; or the answer, where the catalogue has nothing on it."""
        turns = [message.text for message in messages if message.type == "human"]
        products = self.catalogue.in_sight(turns)
        if not products:
            return self.catalogue.offer(turns[-1])
        prompt = self.prompt.format(products="\n\n".join(product.sheet for product in products))
        return [*messages[:-1], HumanMessage(f"{prompt}\n\n{messages[-1].text}")]

    # The model's own methods are called, not `invoke`: one call is one run, and a piece is told of once.

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        told = self._told(messages)
        if isinstance(told, str):
            return ChatResult(generations=[ChatGeneration(message=AIMessage(told))])
        return self.chat._generate(told, stop, run_manager, **kwargs)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        told = self._told(messages)
        if isinstance(told, str):
            return ChatResult(generations=[ChatGeneration(message=AIMessage(told))])
        return await self.chat._agenerate(told, stop, run_manager, **kwargs)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        told = self._told(messages)
        if isinstance(told, str):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=told))
            if run_manager:
                run_manager.on_llm_new_token(told, chunk=chunk)
            yield chunk
            return
        with closing(cast(Any, self.chat._stream(told, stop, run_manager, **kwargs))) as pieces:
            yield from pieces

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        told = self._told(messages)
        if isinstance(told, str):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=told))
            if run_manager:
                await run_manager.on_llm_new_token(told, chunk=chunk)
            yield chunk
            return
        async with aclosing(cast(Any, self.chat._astream(told, stop, run_manager, **kwargs))) as pieces:
            async for piece in pieces:
                yield piece
