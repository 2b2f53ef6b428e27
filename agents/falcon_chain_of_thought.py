"""The four reasoning tasks over Falcon (and any other model): direct answers beside chains of thought, and which are right.

    python -m sagechain.agents.falcon_chain_of_thought                    # all tasks, five problems each
    python -m sagechain.agents.falcon_chain_of_thought coin-flip -n 2

    chain(load_llm("local:smollm2"), "arithmetic").invoke({"question": "…"})["few-shot-cot"].answer

What is streamed: the chain of thought, token by token, where the model's wire has a stream (`llama2-dialog`, `llama2-text`
and `hf` have none: there it comes whole). The direct answer is a few words, and is shown once it is there. On a terminal
both stand side by side; in a pipe there is a line for each. Problems and truths are in `problems.yaml`.
"""

import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sagechain.command import DEFAULT_MODEL, EulaOption, ModelOption, ParameterOption, chosen, run
from sagechain.prompts import read_yaml

if TYPE_CHECKING:
    from langchain_core.language_models import BaseLanguageModel
    from langchain_core.runnables import Runnable
    from sagechain.chains import Reasoning
    from sagechain.prompts import Task

    from .side_by_side import View

DIRECT, STEPS = "direct", "few-shot-cot"


def chain(
    model: "BaseLanguageModel[Any]", task: str = "arithmetic"
) -> "Runnable[dict[str, str], dict[str, Reasoning]]":
    """Both ways at once: a Runnable from `{"question": …}` to a `Reasoning` for `direct` and for `few-shot-cot`.

    An LLM is asked with plain `Q: … A: …` text, and tells of each token of its chain of thought by LangChain's callback
    `on_llm_new_token`, in a run tagged `few-shot-cot`. A chat model tells of them if it is set to stream.

    Raises:
        ValueError: an unknown task; at the call, no question.
    """
    from langchain_core.runnables import RunnableParallel
    from sagechain.chains import chain_of_thought
    from sagechain.chains.reasoning import LONG
    from sagechain.llms import TextModel

    from .streaming_llm import TellingLLM

    telling = model
    if isinstance(model, TextModel):
        telling = TellingLLM(llm=model if model.max_new_tokens else model.with_fields(max_new_tokens=LONG))
    return RunnableParallel(
        {
            DIRECT: chain_of_thought(model, strategy=DIRECT, task=task).with_config(tags=[DIRECT]),
            STEPS: chain_of_thought(telling, strategy=STEPS, task=task).with_config(tags=[STEPS]),
        }
    )


def script(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TASK...", help="arithmetic, last-letters, reverse-list, coin-flip; all if none is given."
        ),
    ] = None,
    problems: Annotated[int, typer.Option("-n", "--problems", min=1, max=5, help="So many problems a task.")] = 5,
    model: ModelOption = DEFAULT_MODEL,
    accept_eula: EulaOption = False,
    given: ParameterOption = None,
) -> None:
    """Solve problems of four tasks directly and by chain of thought, and count what is right.

    Example: python -m sagechain.agents.falcon_chain_of_thought arithmetic -m "sagemaker:my-falcon?family=falcon"
    """
    from sagechain.llms import load_llm
    from sagechain.prompts import load_task

    from .side_by_side import LiveView, PlainView, show_table

    chosen_tasks = [load_task(name) for name in tasks or read_yaml(__package__, "problems.yaml")]
    llm = load_llm(model, **chosen(given, accept_eula))
    view = LiveView() if sys.stdout.isatty() else PlainView()
    right = {task.name: _right(llm, task, problems, view) for task in chosen_tasks}
    show_table({DIRECT: "direct", STEPS: "chain of thought"}, right, problems)


def _right(llm: "BaseLanguageModel[Any]", task: "Task", problems: int, view: "View") -> Counter[str]:
    """How many problems of a task each way gets right."""
    from sagechain.chains import same_answer

    both, right = chain(llm, task.name), Counter[str]()
    view.begin(task.name)
    for problem in read_yaml(__package__, "problems.yaml")[task.name][:problems]:
        with view.problem(problem["question"], problem["answer"]) as shown:
            found = both.invoke({"question": problem["question"]}, {"callbacks": [shown.tokens_of(STEPS)]})
            for way in (STEPS, DIRECT):
                is_right = same_answer(found[way].answer, problem["answer"], task.answer_kind)
                right[way] += is_right
                shown.end(way, found[way], is_right)
    return right


if __name__ == "__main__":
    run(script)
