"""A model for LangChain's standard tests: it calls the tools and writes the JSON that its prompt requires.

It reads nothing but the prompt's text, in the family's layout. So a test that passes shows that messages, tools and schemas
reach a model, and that its answers are read back; it proves nothing about any real model.
"""

import json
import re
from typing import Any

from langchain_core.messages import AIMessage
from sagechain.llms.testing import ScriptedLLM
from sagechain.prompts import get_family
from sagechain.prompts.families import to_role_messages

from tests.llms.prompt_reader import read_prompt

TOOLS = re.compile(r"<tools>\s*(?P<schemas>.*?)\s*</tools>(?P<instruction>.*)", re.DOTALL)
SCHEMA = re.compile(r"JSON schema:\n(?P<schema>.+)")
QUOTED = re.compile(r"'([^'\n]+)'")


class RuleBasedLLM(ScriptedLLM):
    """JSON if the prompt requires it; else a tool call, unless the prompt ends with a result; else words."""

    def next_answer(self, prompt: str) -> str:
        messages = read_prompt(self.family, prompt)
        system = "\n".join(text for role, text in messages if role == "system")
        last = messages[-1][1] if messages else ""
        if "Answer with one JSON" in system:
            return json.dumps(_json_answer(system, last))
        tools = TOOLS.search(system)
        if tools is None or last.endswith("</tool_response>"):
            return "Thank you."
        return self._written_call(_chosen_tool(tools, last), last)

    def _written_call(self, tool: dict[str, Any], question: str) -> str:
        args = _filled(tool["parameters"], question)
        call = AIMessage("", tool_calls=[{"name": tool["name"], "args": args, "id": "1"}])
        return to_role_messages([call], get_family(self.family).escaping)[0].text


def _chosen_tool(tools: re.Match[str], question: str) -> dict[str, Any]:
    """The tool that must be called, else the one that the question names, else the first."""
    functions = [json.loads(line)["function"] for line in tools["schemas"].splitlines()]
    for text in (tools["instruction"], question):
        for function in functions:
            if re.search(rf"\b{function['name']}\b", text):
                return dict(function)
    return dict(functions[0])


def _json_answer(system: str, question: str) -> dict[str, Any]:
    schema = SCHEMA.search(system)
    if schema is not None:
        return _filled(json.loads(schema["schema"]), question)
    return dict.fromkeys(QUOTED.findall(question), "x")  # in JSON mode the question quotes the keys


def _filled(schema: dict[str, Any], question: str) -> dict[str, Any]:
    """Required numbers and texts: the first number, and the first quoted text, of the question."""
    number, quoted = re.search(r"\d+", question), QUOTED.search(question)
    values = {"integer": int(number[0]) if number else 1, "string": quoted[1] if quoted else "x"}
    return {name: values[schema["properties"][name]["type"]] for name in schema.get("required", [])}
