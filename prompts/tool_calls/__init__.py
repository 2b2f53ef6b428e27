"""Tool calls read from what a model wrote."""

from .reader import ToolCallReader as ToolCallReader
from .validation import Part as Part
