"""The four reasoning tasks over Falcon, and over any other model: direct answers beside chains of thought.

    python -m sagechain.agents.falcon_chain_of_thought                    # all tasks, five problems each
    python -m sagechain.agents.falcon_chain_of_thought coin-flip -n 2

    chain(load_llm("local:smollm2"), "arithmetic").invoke({"question": "…"})["few-shot-cot"].answer

The chain of thought is streamed token by token. The wires `llama2-dialog`, `llama2-text` and `hf` have no stream: there it
arrives whole. On a terminal both answers are shown in two columns, in a pipe on a line each. The problems and their correct
answers are in `falcon_chain_of_thought.yaml`.
"""

import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer
from sagechain.command import (
    DEFAULT_MODEL,
    EulaOption,
    ModelOption,
    ParameterOption,
    model_parameters,
    run,
)
from sagechain.prompts import read_yaml

if TYPE_CHECKING:
    from langchain_core.language_models import BaseLanguageModel
    from langchain_core.runnables import Runnable
    from sagechain.chains import Reasoning, TaskName
    from sagechain.prompts import Task

    from .side_by_side import View

DIRECT: Final = "direct"
STEPS: Final = "few-shot-cot"


def chain(
    model: "BaseLanguageModel[Any]", task: "TaskName" = "arithmetic"
) -> "Runnable[dict[str, str], dict[str, Reasoning]]":
    """Both strategies together: a Runnable from `{"question": …}` to a `Reasoning` for `direct` and for `few-shot-cot`.

    An LLM gets plain `Q: … A: …` text, and reports each token of its chain of thought to LangChain's callback
    `on_llm_new_token`, in a run with the tag `few-shot-cot`. A chat model reports them if it is set to stream.

    Raises:
        ValueError: an unknown task; at the call, no question.
    """
    from langchain_core.runnables import RunnableParallel
    from sagechain.chains import chain_of_thought
    from sagechain.chains.reasoning import MAX_REASONING_TOKENS
    from sagechain.llms import TextModel

    from .streaming_llm import StreamingLLM

    streaming_model = model
    if isinstance(model, TextModel):
        limit = model.max_new_tokens or MAX_REASONING_TOKENS
        streaming_model = StreamingLLM(llm=model.with_fields(max_new_tokens=limit))
    return RunnableParallel(
        {
            DIRECT: chain_of_thought(model, strategy=DIRECT, task=task).with_config(tags=[DIRECT]),
            STEPS: chain_of_thought(streaming_model, strategy=STEPS, task=task).with_config(tags=[STEPS]),
        }
    )


def script(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(metavar="TASK...", help="arithmetic, last-letters, reverse-list, coin-flip; all if not given."),
    ] = None,
    problems: Annotated[int, typer.Option("-n", "--problems", min=1, max=5, help="Number of problems a task.")] = 5,
    model: ModelOption = DEFAULT_MODEL,
    accept_eula: EulaOption = False,
    parameters: ParameterOption = None,
) -> None:
    """Solve problems of four tasks directly and by chain of thought, and count the correct answers.

    Example: python -m sagechain.agents.falcon_chain_of_thought arithmetic -m "sagemaker:my-falcon?family=falcon"
    """
    from sagechain.llms import load_llm
    from sagechain.prompts import load_task

    from .side_by_side import LiveView, PlainView, print_table

    chosen_tasks = [load_task(name) for name in tasks or read_yaml(__package__, "falcon_chain_of_thought.yaml")]
    llm = load_llm(model, **model_parameters(parameters, accept_eula))
    view = LiveView() if sys.stdout.isatty() else PlainView()
    correct = {task.name: _correct_answers(llm, task, problems, view) for task in chosen_tasks}
    print_table({DIRECT: "direct", STEPS: "chain of thought"}, correct, problems)


def _correct_answers(llm: "BaseLanguageModel[Any]", task: "Task", problems: int, view: "View") -> Counter[str]:
    """The number of problems that each strategy solves."""
    from sagechain.chains import same_answer

    both, correct = chain(llm, cast("TaskName", task.name)), Counter[str]()
    view.begin(task.name)
    for problem in read_yaml(__package__, "falcon_chain_of_thought.yaml")[task.name][:problems]:
        with view.problem(problem["question"], problem["answer"]) as display:
            results = both.invoke({"question": problem["question"]}, {"callbacks": [display.callback(STEPS)]})
            for strategy in (STEPS, DIRECT):
                is_correct = same_answer(results[strategy].answer, problem["answer"], task.answer_kind)
                correct[strategy] += is_correct
                display.end(strategy, results[strategy], is_correct)
    return correct


if __name__ == "__main__":
    run(script)
