"""The guide's table of parameters follows from the code: meaning, range, and the wires and engines that have each."""

from collections.abc import Callable

from sagechain.llms.local.llama_cpp.llm import LLAMA_CPP_NAMES
from sagechain.llms.parameters import PARAMETER_NAMES, GenerationFields
from sagechain.llms.wires import get_wire, list_wires

INTRODUCTION = """# Inference parameters

One name, one meaning and one range each, for every wire and engine. They may be given when a model is loaded, with a
request, or by `configurable_fields`; a value that is out of range, of the wrong type, or that the model's wire does not
carry is a `ValueError` before anything is sent. [How they change an answer](decoding.md) is shown with the embedded model.

```python
from sagechain.llms import load_llm

llm = load_llm("local:smollm2", temperature=0, max_new_tokens=8)
print(llm.invoke("The capital of France is"))
print(llm.invoke("The capital of France is", temperature=1.0, top_p=0.9, seed=1))
```

`max_tokens`, which LangChain's other models have, is another name of `max_new_tokens` everywhere: in `load_llm`,
`load_chat_model` and the constructors, bound, with a request, and in `configurable_fields`. Both with different values are
a `ValueError`. `load_chat_model` also takes `callbacks`, `tags`, `metadata`, `verbose`, `cache`, `streaming`,
`rate_limiter` and `max_concurrency`; the settings of a URI may be keywords.

`PromptedChatModel(llm=…)` works over any LangChain LLM. Stop strings are cut over all of them. Another setting reaches an
LLM as a field of that name, or as an argument of its requests if its methods take it; otherwise it is a `ValueError`, and
has to be set on the LLM itself, as `timeout` and `max_retries` always have to be.

Under "carried by", `llama.cpp` (GGUF files) and `transformers` (checkpoint folders and `?engine=transformers`) are engines
on this machine, and the others are [wires](wires.md). `stop` is exact everywhere: on a wire without stop strings the text
is cut here, and the connection is closed.
"""


def test_the_guide_has_meaning_range_and_carriers_of_each_parameter(same_page: Callable[[str, str], None]) -> None:
    table = ["| parameter | meaning | range | carried by |", "| --- | --- | --- | --- |"]
    for name in PARAMETER_NAMES:
        meaning = GenerationFields.model_fields[name].description
        assert meaning, f"{name} has no docstring"
        table.append(f"| `{name}` | {meaning} | {_range(name)} | {_carriers(name)} |")
    same_page("parameters.md", f"{INTRODUCTION}\n" + "\n".join(table) + "\n")


def _range(name: str) -> str:
    field = GenerationFields.model_fields[name]
    if "bool" in str(field.annotation):
        return "`True`, `False`"
    if name == "stop":
        return "strings, none empty"
    kind = "whole number" if "int" in str(field.annotation) else "number"
    signs = {"ge": "≥", "gt": ">", "le": "≤"}
    bounds = [f"{signs[s]} {getattr(m, s)}" for m in field.metadata for s in signs if getattr(m, s, None) is not None]
    return f"{kind} {', '.join(bounds)}".strip()


def _carriers(name: str) -> str:
    local = ["`transformers`", *(["`llama.cpp`"] if name in LLAMA_CPP_NAMES or name in COUNTED_HERE else [])]
    wires = [f"`{wire}`" for wire in list_wires() if name in get_wire(wire).parameter_names]
    return ", ".join([*local, *wires])


COUNTED_HERE = ("max_length", "return_full_text", "do_sample")
"""Parameters that are applied before or after llama.cpp runs."""
