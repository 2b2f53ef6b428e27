"""One question to a model, and its answer with what it cost.

answer = Answer("local:smollm2", chat)
answer.run(messages, print)
answer.text, answer.usage, answer.finish_reason, answer.seconds
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from sagechain.llms.errors import LLMError

from .shown_request import print_request

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.tools import BaseTool

    from ..logs.store import Entry


class Answer(BaseCallbackHandler):
    """An answer that arrives. As a callback it counts the tokens of every generation behind it.

    Args:
        model: the model's URI.
        chat: the chat model.
        schema: a JSON schema of the answer.
        tools: what the model may call; not with a schema.
        approve: whether the person is asked before each call of a tool.
        verbose: whether each request is printed on standard error before it is sent.
    """

    raise_error = True  # otherwise LangChain logs what fails here, and continues
    run_inline = True

    def __init__(
        self,
        model: str,
        chat: "BaseChatModel",
        *,
        schema: Mapping[str, Any] | None = None,
        tools: "Sequence[BaseTool]" = (),
        approve: bool = False,
        verbose: bool = False,
    ) -> None:
        self.model, self.text = model, ""
        self.finish_reason: str | None = None
        self.usage: UsageMetadata | None = None
        self.seconds = 0.0
        self._chat, self._schema, self._tools = chat, schema, tools
        self._approve, self._verbose = approve, verbose

    def run(self, messages: Sequence[BaseMessage], on_text: Callable[[str], None] | None = None) -> None:
        """Send the messages; the answer is `text` afterwards, or as far as it came.

        Args:
            messages: the conversation; the last message is the question.
            on_text: gets the text in parts as they are generated; not with a schema or tools.

        Raises:
            StructuredOutputFailed: the answer does not match the schema, nor does its correction.
            LLMError: the request failed, or a limit ended the calls of tools before there was an answer.
        """
        started_at = time.monotonic()
        try:
            if self._schema is not None:
                self._run_with_schema(messages, self._schema)
            elif self._tools:
                self._run_with_tools(messages)
            elif on_text is None:
                self.text = self._chat.invoke(messages, self._config).text
            else:
                for chunk in self._chat.stream(messages, self._config):
                    self.text += chunk.text
                    on_text(chunk.text)
        finally:
            self.seconds = time.monotonic() - started_at

    def _run_with_schema(self, messages: Sequence[BaseMessage], schema: Mapping[str, Any]) -> None:
        runnable: Runnable[Any, Any] = self._chat.with_structured_output(
            dict(schema), method="json_schema", include_raw=True
        )
        result = runnable.invoke(messages, self._config)
        self.text = result["raw"].text
        if result["parsing_error"] is not None:
            raise result["parsing_error"]
        self.text = json.dumps(result["parsed"], ensure_ascii=False)

    def _run_with_tools(self, messages: Sequence[BaseMessage]) -> None:
        import asyncio

        from langchain.agents.middleware.model_call_limit import ModelCallLimitExceededError

        from .tools import MAX_GENERATIONS, agent

        graph = agent(self._chat, self._tools, approve=self._approve)
        try:
            state = asyncio.run(graph.ainvoke({"messages": list(messages)}, self._config))
        except ModelCallLimitExceededError:
            raise _unanswered(self.model, f"no answer after {MAX_GENERATIONS} generations with tool calls") from None
        last = state["messages"][-1]
        if not isinstance(last, AIMessage) or last.response_metadata.get("finish_reason") == "bound":
            raise _unanswered(self.model, last.text)
        self.text = last.text

    def report(self) -> dict[str, Any]:
        """The answer and its figures, for `--json`."""
        return {
            "model": self.model,
            "answer": self.text if self._schema is None else json.loads(self.text),
            "finish_reason": self.finish_reason,
            "usage": self.usage
            and {name: self.usage[name] for name in ("input_tokens", "output_tokens", "total_tokens")},
            "seconds": round(self.seconds, 3),
        }

    @property
    def cost(self) -> str:
        """Tokens and seconds as a line."""
        tokens = (
            f"{self.usage['input_tokens']:,} tokens in, {self.usage['output_tokens']:,} out"
            if self.usage
            else "the model reports no tokens"
        )
        return f"({tokens}, {self.seconds:.2f} s.)"

    def fill(self, entry: "Entry") -> None:
        """Write the answer and its figures into a log's entry."""
        entry.answer, entry.finish_reason, entry.seconds = self.text, self.finish_reason, round(self.seconds, 3)
        if self.usage:
            entry.input_tokens, entry.output_tokens = self.usage["input_tokens"], self.usage["output_tokens"]

    def on_chat_model_start(self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **kwargs: Any) -> None:
        """Print the request, if that is wanted."""
        if self._verbose:
            print_request(self.model, self._chat, messages[0], kwargs.get("invocation_params") or {})

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Count the tokens."""
        message = getattr(response.generations[0][0], "message", None)
        if isinstance(message, AIMessage):
            self.finish_reason = message.response_metadata.get("finish_reason", self.finish_reason)
            if message.usage_metadata is not None:
                self.usage = add_usage(self.usage, message.usage_metadata)

    @property
    def _config(self) -> RunnableConfig:
        return {"callbacks": [self]}


def _unanswered(model: str, reason: str) -> LLMError:
    error = LLMError(model, f"the question was not answered: {reason.rstrip('.')}.")
    error.advice = "Ask for less, or give the model fewer tools."
    return error
