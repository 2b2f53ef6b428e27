"""Texts that make careless readers slow: each kind can be made in any size."""

from collections.abc import Callable


def _repeated(unit: str, *, before: str = "", after: str = "") -> Callable[[int], str]:
    return lambda characters: (before + unit * (characters // len(unit) + 1))[:characters] + after


KINDS: dict[str, Callable[[int], str]] = {
    "line ends": _repeated("\n", before="Sure", after="then."),
    "blanks": _repeated(" ", before="The answer is <", after="then."),
    "lines of blanks": _repeated(" \n\t", before="Q", after="x"),
    "less-than signs": _repeated("<"),
    "brackets": _repeated("["),
    "objects": _repeated('{"a":', before='{"name": "run_cmd", "arguments": '),
    "quotes": _repeated("\"'", before='{"name": "run_cmd", "arguments": {"command": '),
    "backslashes": _repeated("\\", before='<tool_call>{"name": "run_cmd", "arguments": {"command": "'),
    "fences": _repeated("```\n"),
    "tags": _repeated("<tool_call>"),
    "calls": _repeated('<tool_call>{"name": "run_cmd", "arguments": {"command": "ls"}}</tool_call>\n'),
    "thoughts": _repeated("<think>a</think>\n"),
    "open thoughts": _repeated("<think>"),
    "special tokens": _repeated("<|im_start|>user\n[INST] <<SYS>>\nUser: "),
    "answers": _repeated("The answer ("),
    "numbers": _repeated("1,111", after="."),
    "items": _repeated(" , and ;", after="x"),
    "steps": _repeated("Action: run_cmd\nAction Input: "),
    "python": _repeated("def f(a, b):\n  run_cmd(", after="x"),
    "dashes": _repeated("-", before="a", after="!"),
}
"""Kind → a text of about so many characters."""
