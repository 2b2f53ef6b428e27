"""The tags around reasoning: what a model considers is neither a tool call nor its answer."""

import re

_NAME = r"(?:(?:seed:)?think(?:ing)?|thoughts?|reasoning|reflection|scratchpad|analysis)"
REASONING_START = re.compile(rf"<{_NAME}(?:\s[^<>]{{0,99}})?>|\[THINK\]|<\|begin_of_thought\|>|◁think▷", re.IGNORECASE)
REASONING_END = re.compile(rf"</{_NAME}\s{{0,9}}>|\[/THINK\]|<\|end_of_thought\|>|◁/think▷", re.IGNORECASE)
