"""Where a completion ends, and which of several candidates is best."""

from typing import Any

import pytest
from langchain_core.language_models.fake import FakeListLLM, FakeStreamingListLLM
from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import Generation, LLMResult
from sagechain.chains import Completion, code_completion, ranked_completions

from tests.llms.conftest import gpt2, tiny

__all__ = ["gpt2", "tiny"]

PROMPT = "def add(a, b):\n"
BODY = "    return a + b\n"
BROKEN = "    return a +\n"
BLOCK = ["\ndef", "\nclass", "\n#", "\nif", "\nprint"]


class Likely(BaseLLM):
    """Returns several answers for each prompt, each with its metadata."""

    answers: list[tuple[str, dict[str, Any]]]
    seen: list[Any] = []  # noqa: RUF012  # pydantic copies it

    @property
    def _llm_type(self) -> str:
        return "likely"

    def _generate(self, prompts: list[str], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> LLMResult:
        self.seen.append((prompts, stop, kwargs))
        answers = [Generation(text=text, generation_info=info) for text, info in self.answers]
        return LLMResult(generations=[list(answers) for _ in prompts])


def ranked(*texts: str, prompt: str = PROMPT, **options: Any) -> list[Completion]:
    model = FakeListLLM(responses=list(texts))
    return ranked_completions(model, candidates=len(texts), **options).invoke(prompt)


def texts(completions: list[Completion]) -> list[str]:
    return [each.text for each in completions]


# Where a completion ends


@pytest.mark.parametrize(
    ("until", "completion"),
    [
        ("block", "    x = 1\n\n    # a comment inside\n    return x\n"),
        ("line", "    x = 1"),
        ("end", "    x = 1\n\n    # a comment inside\n    return x\n\nclass Next:\n"),
        (["return"], "    x = 1\n\n    # a comment inside\n    "),
        (("never", "\n\n"), "    x = 1"),
    ],
)
def test_a_completion_is_cut_also_for_an_llm_without_stop_strings(until: Any, completion: str) -> None:
    generated = "    x = 1\n\n    # a comment inside\n    return x\n\nclass Next:\n"
    for model in (FakeListLLM(responses=[generated]), FakeStreamingListLLM(responses=[generated])):
        chain = code_completion(model, until=until)
        assert chain.invoke(PROMPT) == completion
        assert "".join(chain.stream(PROMPT)) == completion
        assert ranked(generated, until=until)[0].text == completion


@pytest.mark.parametrize("stop", BLOCK)
def test_a_block_ends_before_the_next_one_at_the_left_margin(stop: str) -> None:
    assert code_completion(FakeListLLM(responses=[f"{BODY}{stop} and so on"])).invoke(PROMPT) == BODY
    inside = f"{BODY}    {stop.strip()} and so on"
    assert code_completion(FakeListLLM(responses=[inside])).invoke(PROMPT) == inside


def test_an_empty_answer_is_an_empty_completion() -> None:
    assert code_completion(FakeListLLM(responses=["\n# next"])).invoke(PROMPT) == ""
    assert code_completion(FakeListLLM(responses=["", "\n# next"]), candidates=2).invoke(PROMPT) == ""


# Which candidate is best


def test_code_that_parses_is_better_than_code_that_does_not() -> None:
    found = ranked(BROKEN, "    return a ++ b\n", "no code", BODY, "")
    assert texts(found) == ["    return a ++ b\n", BODY, BROKEN, "no code", ""]
    assert [each.parses for each in found] == [True, True, False, False, False]


def test_comments_alone_are_not_code() -> None:
    found = ranked("    # the sum\n\n    # of both\n", BROKEN, "    # the sum\n    return a + b\n", "")
    assert texts(found) == [
        "    # the sum\n    return a + b\n",
        BROKEN,
        "    # the sum\n\n    # of both\n",
        "",
    ]


@pytest.mark.parametrize(
    "prompt",
    [
        "# mean of the rows",
        "import numpy as np\n\n# mean of the rows",
        "table = read()  # one mean",
        "def mean(table):\n    # of the rows",
        "x = [\n    1,  # the first",
        "x = 'a' +  # it goes wrong here",
    ],
)
def test_the_rest_of_the_prompts_comment_is_not_code(prompt: str) -> None:
    prose, code = " of the table", "\nx = table.mean(1)\n"
    model = Likely(answers=[(prose, {"likelihood": -0.1}), (f"{prose}\n# all", {"likelihood": -0.2}), (code, {})])
    found = texts(ranked_completions(model, until="end").invoke(prompt))
    assert found == [code, prose, f"{prose}\n# all"]
    assert code_completion(model, candidates=3, until=["never"]).invoke(prompt) == code


def test_prose_after_a_comment_is_not_unfinished_code() -> None:
    prose, code = " of a table\n\nIn other words,", "\nx = [table.mean("
    answers = [(prose, {"likelihood": -0.1, "finish_reason": "length"}), (code, {"finish_reason": "length"})]
    found = ranked_completions(Likely(answers=answers)).invoke("# mean of the rows")
    assert [(each.text, each.parses, each.unfinished) for each in found] == [(code, True, True), (prose, False, False)]


@pytest.mark.parametrize(
    "prompt",
    ["# mean of the rows\n", "x = '# mean", 'x = """\n# mean', "x = '#'", "# mean\n   ", "x = f('#', ", "# it's\nx ="],
)
def test_text_that_only_looks_like_a_comment_continues_with_code(prompt: str) -> None:
    found = ranked("\n# a comment", "x = 1", prompt=prompt, until="end")
    assert texts(found) == ["x = 1", "\n# a comment"]


def test_truncated_code_ranks_above_invalid_code() -> None:
    in_a_line, in_a_bracket = "    total = a + b\n    return tot.", "    return (a +"
    found = ranked("    return (a]", in_a_bracket, in_a_line, BODY)
    assert texts(found) == [BODY, in_a_bracket, in_a_line, "    return (a]"]
    assert [(each.parses, each.unfinished) for each in found] == [
        (True, False),
        (True, True),
        (True, True),
        (False, False),
    ]


CUT = [
    "    total = [a, b, 1",
    "    total = [\n        a,\n        b",
    "    total = sum(\n        [a, b],\n        start=np.",
    "    for each in (a, b):\n        ",
    "    if a:\n        return b\n    else:\n",
    "    try:\n        return a\n",
    '    """The sum of\n    both num',
]
WRONG = [
    "    total = [a b, 1",
    "    total = [\n        a b,\n        b",
    "    total = sum(\n        [a, b],\n        start=)\n    np.",
    "    for each of (a, b):\n        ",
    "    if a:\n        return b\n    otherwise:\n        ",
    "   try:\n        return a\n    return b\n",
    "    return (a]\n    b",
    "return [a, b",
    "    ",
]


@pytest.mark.parametrize(("text", "unfinished"), [*((text, True) for text in CUT), *((text, False) for text in WRONG)])
def test_a_truncated_answer_must_be_valid_python_so_far(text: str, unfinished: bool) -> None:
    def found(reason: str) -> tuple[bool, bool]:
        model = Likely(answers=[(text, {"finish_reason": reason})])
        [candidate] = ranked_completions(model, until="end").invoke(PROMPT)
        return candidate.parses, candidate.unfinished

    assert found("length") == (unfinished, unfinished)
    assert found("stop") == (False, False)


def test_a_likely_answer_truncated_in_a_bracket_ranks_above_an_unlikely_one_truncated_in_a_line() -> None:
    in_a_bracket = "df = pd.DataFrame({'height': [162, 175, 181], 'weight': [58, 72, 80"
    answers = [("df = 1\ndf.", -0.43), (in_a_bracket, -0.13)]
    model = Likely(answers=[(text, {"likelihood": each, "finish_reason": "length"}) for text, each in answers])
    assert code_completion(model, candidates=2).invoke("# data frame\n") == in_a_bracket


def test_an_answer_that_was_not_truncated_must_parse_to_its_end() -> None:
    generated = "    total = a + b\n    return (tot"
    [stopped] = ranked_completions(Likely(answers=[(generated, {"finish_reason": "stop"})])).invoke(PROMPT)
    [too_long] = ranked_completions(Likely(answers=[(generated, {"finish_reason": "length"})])).invoke(PROMPT)
    assert (stopped.parses, stopped.unfinished, stopped.finish_reason) == (False, False, "stop")
    assert (too_long.parses, too_long.unfinished, too_long.finish_reason) == (True, True, "length")
    [at_a_stop] = ranked(f"{generated}\ndef f")
    assert (at_a_stop.text, at_a_stop.parses, at_a_stop.finish_reason) == (generated, False, "stop")


def test_the_likeliest_parsing_candidate_wins_and_of_equal_ones_the_first() -> None:
    answers = [(BROKEN, -0.1), (BODY, -2.0), ("    return b + a\n", -1.0), ("    return 1\n", -1.0)]
    model = Likely(answers=[(text, {"likelihood": likelihood}) for text, likelihood in answers])
    found = ranked_completions(model).invoke(PROMPT)
    assert [(each.text, each.likelihood) for each in found] == [answers[2], answers[3], answers[1], answers[0]]
    assert code_completion(model, candidates=4).invoke(PROMPT) == "    return b + a\n"


def test_without_likelihoods_the_models_order_is_preserved() -> None:
    assert texts(ranked("    return 2\n", "    return 1\n", "    return 3\n")) == [
        "    return 2\n",
        "    return 1\n",
        "    return 3\n",
    ]


def test_a_custom_rank_gets_the_whole_candidate() -> None:
    def shortest(candidate: Completion) -> int:
        return -len(candidate.prompt + candidate.text)

    assert texts(ranked(BODY, "x", BROKEN, rank=shortest)) == ["x", BROKEN, BODY]
    chain = code_completion(FakeListLLM(responses=[BODY, "x"]), candidates=2, rank=shortest)
    assert chain.invoke(PROMPT) == "x"


@pytest.mark.parametrize("text", ["\0", "(" * 10_000, "-" * 200_000 + "1", "'\\d'", "x = 1 if"])
def test_any_text_can_be_ranked(text: str) -> None:
    [found] = ranked(text, prompt="x = 0\n", until="end")
    assert (found.text, found.parses) == (text, text == "'\\d'")
