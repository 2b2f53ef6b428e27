"""Limits on an agent's turn, as middleware for LangChain's `create_agent`, which limits the number of calls itself.

    create_agent(model, tools, middleware=[TurnLimit(seconds=120, tokens=20_000), tool_errors(), ToolTimeLimit(seconds=20),
                                           RepeatedCalls(), InvalidCalls(), ToolCallLimitMiddleware(run_limit=10),
                                           ModelCallLimitMiddleware(run_limit=6)])

Keep this order: `after_model` runs from the last middleware to the first. Each has a sync and an async form. If a
limit ends the turn, its answer gives the reason.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
