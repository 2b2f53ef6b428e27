"""Bounds of an agent's turn, as middleware for LangChain's `create_agent`; LangChain has those of model and tool calls.

    create_agent(model, tools, middleware=[TurnLimit(seconds=120, tokens=20_000), tool_errors(), ToolTimeLimit(seconds=20),
                                           RepeatedCalls(), InvalidCalls(), ToolCallLimitMiddleware(run_limit=10),
                                           ModelCallLimitMiddleware(run_limit=6)])

Keep this order: LangChain runs what comes after a model call from the last to the first. Each has a sync and an async form.
A turn that a bound ends has an answer that says so.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
