"""Reads a rendered prompt back into its messages: the inverse of each family's layout, written independently of it."""

import re

RoleText = tuple[str, str]
"""`system`, `user` or `assistant`, and the text; tool calls and their results are part of the text."""


def read_prompt(family: str, prompt: str) -> list[RoleText]:
    """The messages of a prompt, without the open turn at its end."""
    match family:
        case "chatml":
            messages = _chatml(prompt)
        case "llama2":
            messages = _llama2(prompt)
        case "falcon":
            messages = _transcript(prompt, user="User", assistant="Assistant")
        case "falcon180b":
            messages = _transcript(prompt, user="User", assistant="Falcon")
        case "plain":
            messages = _transcript(prompt, user="Human", assistant="AI")
    return [(role, text.strip()) for role, text in messages]


def _chatml(prompt: str) -> list[RoleText]:
    assert prompt.endswith("<|im_start|>assistant\n")
    return re.findall(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>\n", prompt, re.DOTALL)


def _transcript(prompt: str, *, user: str, assistant: str) -> list[RoleText]:
    assert prompt.endswith(f"{assistant}:")
    roles = {user: "user", assistant: "assistant"}
    system, *rest = re.split(rf"^({user}|{assistant}):", prompt, flags=re.MULTILINE)
    turns = [(roles[name], text) for name, text in zip(rest[:-2:2], rest[1:-2:2], strict=True)]
    return [("system", system.removeprefix("System: ")), *turns]


def _llama2(prompt: str) -> list[RoleText]:
    assert prompt.endswith("[/INST]")
    turns: list[RoleText] = []
    for question, answer in re.findall(r"\[INST\] (.*?) \[/INST\](?: (.*?) </s>)?", prompt, re.DOTALL):
        turns += [("user", question), ("assistant", answer)]
    with_system = re.fullmatch(r"<<SYS>>\n(.*?)\n<</SYS>>\n\n(.*)", turns[0][1], re.DOTALL)
    if with_system:
        turns[:1] = [("system", with_system[1]), ("user", with_system[2])]
    return turns[:-1]
