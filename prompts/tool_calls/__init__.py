"""Tool calls read from what a model wrote."""

from .reader import ToolCallReader as ToolCallReader
from .validation import AnswerPart as AnswerPart
