"""Which calls count: the declared form, and what ends the answer on a line of its own; all else is text."""

from typing import Any

import pytest
from sagechain.prompts import NO_ESCAPING, ToolCallFormat
from sagechain.prompts.families import COMMON_ESCAPING
from sagechain.prompts.tool_calls import ToolCallReader

from tests.prompts.shop import TOOLS
from tests.prompts.test_tool_calls import LAMP, call, parts_of

JSON = '{"name": "search_catalogue", "arguments": {"query": "lamp"}}'
TAGGED = f"<tool_call>\n{JSON}\n</tool_call>"
FORMS = [
    JSON,
    f"[{JSON}]",
    f"```json\n{JSON}\n```",
    f"~~~\n{TAGGED}\n~~~",
    "search_catalogue(query='lamp')",
    "[search_catalogue(query='lamp')]",
    'search_catalogue {"query": "lamp"}',
    'Action: search_catalogue\nAction Input: {"query": "lamp"}',
    "Action: search_catalogue\nAction Input: lamp",
    '<function=search_catalogue>{"query": "lamp"}</function>',
    '<invoke name="search_catalogue"><parameter name="query">lamp</parameter></invoke>',
    f"[TOOL_CALLS] [{JSON}]",
    '[TOOL_CALLS]search_catalogue[ARGS]{"query": "lamp"}',
    "<|python_tag|>search_catalogue(query='lamp')",
]


def read(text: str, *, truncated: bool = False) -> tuple[list[Any], str]:
    """The calls and the text of an answer; the same however it is chunked."""
    parts = parts_of([text], truncated=truncated)
    for size in (1, 3, 7):
        assert parts_of([text[i : i + size] for i in range(0, len(text), size)], truncated=truncated) == parts
    return [p for p in parts if not isinstance(p, str)], "".join(p for p in parts if isinstance(p, str))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_counts_where_it_ends_the_answer(form: str) -> None:
    assert read(form) == ([LAMP], "")
    assert read(f"Let me look.\n{form}\n") == ([LAMP], "Let me look.")
    assert read(f"<think>a lamp</think>\n{form}") == ([LAMP], "<think>a lamp</think>")


@pytest.mark.parametrize("form", FORMS)
def test_no_form_but_the_declared_one_counts_before_prose_or_in_a_line(form: str) -> None:
    texts = [f"{form}\nis what I would write.", f"I could write\n{form}\n\nbut I will not."]
    for text in [*texts, *([] if form[0] in "`~" else [f"I prefer {form}"])]:
        assert read(text) == ([], text)


@pytest.mark.parametrize("form", [*FORMS, TAGGED])
@pytest.mark.parametrize(
    "text",
    [
        "<think>{}</think>\nNo.",
        "<think>{}",
        "I think of\n{}\n</think>\nNo.",
        "<thinking>\n{}\n</thinking>",
        "[THINK]\n{}\n[/THINK] No.",
        "<thoughts>\n{}\n</thoughts>",
        "<analysis>{}</analysis> No.",
        "Not <code>{}</code> but words.",
        'Not <code class="json">{}</code> but words.',
        "<samp>{}</samp> was printed.",
        "I rejected <del>{}</del> that.",
        "I rejected ~~{}~~ that.",
        "<seed:think>{}</seed:think> No.",
        "The mail says “Hi,\n\n{}\n\nBest” and I did not.",
        'The mail says "Hi,\n\n{}\n\nBest" and I did not.',
        "She wrote «Hi,\n\n{}\n\nBye».",
        "The page says 『{}』.",
        "The page says ‹{}›.",
        'The docstring is\n"""\n{}\n"""\nand more.',
        'A docstring begins with """.\n\nWrite `{}` for that.',
        "<blockquote>\n{}\n</blockquote>\nis theirs.",
        "<!-- {} --> No.",
        "Write `{}` for that.",
        "Write ``\n{}\n`` for that.",
        "The page says “{}”.",
        "The page says «{}».",
        "The page says ‘{}’.",
        'The mail says "please {}" and I did not.',
        "```\n{}\n```\nis an example.",
        "~~~~markdown\n{}\n~~~~\nis an example.",
        "````\n```json\n{}\n```\n````\nare nested fences.",
    ],
)
def test_what_is_considered_shown_or_quoted_is_text(form: str, text: str) -> None:
    if form.startswith(("`", "~")) and text.startswith(("`", "~", "Write", "I rejected ~")):
        return
    text = text.format(form)
    assert read(text) == ([], text)


@pytest.mark.parametrize("form", [JSON, TAGGED, "search_catalogue(query='lamp')"])
def test_a_quoted_mail_is_text(form: str) -> None:
    for mark in ("> ", ">", "- > ", "1. > "):
        text = "They wrote:\n\n" + "\n".join(f"{mark}{line}" for line in form.splitlines())
        assert read(text) == ([], text)


def test_an_indented_block_of_code_that_prose_continues_after_is_text() -> None:
    block = TAGGED.replace("\n", "\n    ")
    text = f"The manual shows:\n\n    {block}\n\nI did not follow it."
    assert read(text) == ([], text)
    assert read(f"Let me look:\n\n    {block}") == ([LAMP], "Let me look:")


@pytest.mark.parametrize(
    "text",
    [
        'He said "yes.\n\n{}\nI found "lamp".',
        'An unclosed “ here, and "here.\n\n{}',
        'A docstring begins with """.\n\n{}\n\nDone.',
        "“Sure!” I said.\n\n{}\n\nIt is “good”.",
        "~~Not that.~~ {} One moment.",
        "> They asked.\n\n{}\nOne moment.",
    ],
)
def test_a_quotation_that_ends_elsewhere_hides_no_declared_call(text: str) -> None:
    assert read(text.replace("{}", TAGGED))[0] == [LAMP]


def test_a_draft_in_reasoning_and_the_real_call_are_one_call() -> None:
    for draft in (TAGGED, JSON, f"```\n{JSON}\n```"):
        for reasoning in (f"<think>{draft}</think>", f"Perhaps\n{draft}\n</think>"):
            assert read(f"{reasoning}\n{TAGGED}") == ([LAMP], reasoning)
            assert read(f"{reasoning}\n{JSON}") == ([LAMP], reasoning)
    assert read(f"I could write\n{JSON}\nNo, wait.\n{TAGGED}") == ([LAMP], f"I could write\n{JSON}\nNo, wait.")


def test_a_call_that_is_shown_in_another_form_as_well_is_one_call() -> None:
    for draft in (JSON, f"```json\n{JSON}\n```", f"```\n{TAGGED}\n```", "search_catalogue(query='lamp')"):
        assert read(f"{draft}\n{TAGGED}") == ([LAMP], draft)
    assert read(f"{TAGGED}\n{TAGGED}") == ([LAMP, LAMP], "")


def test_a_closing_tag_of_reasoning_in_an_argument_or_in_inline_code_ends_nothing() -> None:
    quoted = TAGGED.replace("lamp", "</think>")
    assert read(quoted) == ([call("search_catalogue", query="</think>")], "")
    assert read(f"{TAGGED}\nIt ends with `</think>`.")[0] == [LAMP]
    assert read(f"`<think>` begins it.\n{TAGGED}")[0] == [LAMP]


def test_a_call_in_the_declared_form_counts_before_prose_and_in_a_line() -> None:
    assert read(f"{TAGGED}\nOne moment.") == ([LAMP], "One moment.")
    assert read(f"So: {TAGGED} One moment.") == ([LAMP], "So:\nOne moment.")
    assert read(f'It`s 5 o\'clock, "maybe": {TAGGED}')[0] == [LAMP]


def test_a_run_of_calls_that_ends_the_answer_counts_as_a_whole() -> None:
    stock = call("check_stock", product_id=7)
    written = '{"name": "check_stock", "arguments": {"product_id": 7}}'
    for text in (
        f"{JSON}\n{written}",
        f"{JSON}, {written}",
        f"{TAGGED}\n{written}",
        f"{JSON}\n<tool_call>{written}</tool_call>",
        f"```json\n{JSON}\n{written}\n```",
        f"```json\n{JSON}\n```\n\n```json\n{written}\n```",
        "search_catalogue(query='lamp')\ncheck_stock(7)",
        '[TOOL_CALLS]search_catalogue[ARGS]{"query": "lamp"}[TOOL_CALLS]check_stock[ARGS]{"product_id": 7}',
        "[search_catalogue(query='lamp'), check_stock(product_id=7)]",
    ):
        assert read(f"Both.\n{text}") == ([LAMP, stock], "Both.")
        assert len(read(f"Both.\n{text}\nDone.")[0]) == text.count("<tool_call>")


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (f"```\nfirst this:\n{TAGGED}\n```", 1),
        (f"```\nfirst this:\n{TAGGED}\n```\nand more", 0),
        ("```python\nimport shop\nsearch_catalogue(query='lamp')\n```", 0),
        (f"```json\n{JSON}", 1),
        (f"```json\n{JSON}```", 1),
        (f"```json\n{JSON}\n``` and more", 0),
        (f"Write ```{JSON}``` here", 0),
    ],
)
def test_a_fence_counts_if_it_ends_the_answer_and_contains_nothing_but_calls(text: str, calls: int) -> None:
    assert len(read(text)[0]) == calls


@pytest.mark.parametrize("form", [JSON, TAGGED, "search_catalogue(query='lamp')"])
def test_a_document_that_was_escaped_in_the_prompt_is_text_when_the_model_repeats_it(form: str) -> None:
    shown = COMMON_ESCAPING.escape(f"<tool_call>\n{form}\n</tool_call>")
    for text in (
        f"The page says: {shown} I did not follow it.",
        f"The page says:\n{shown}",
        f"The page:\n{shown[:-14]}",
    ):
        if "<tool_call>" not in text:
            assert read(text)[0] == []


def test_an_invented_result_is_not_shown() -> None:
    for invented in ("Observation: none", "<tool_response>\nnone\n</tool_response>", "  **Observation:** none"):
        assert read(f"{TAGGED}\n{invented}\nThere is none.") == ([LAMP], "")
        assert read(f"Action: search_catalogue\nAction Input: lamp\n{invented}\nNone.") == ([LAMP], "")
        assert read(f"{invented}\nThere is none.")[1].strip() == ""
    assert read("An Observation: none")[1] == "An Observation: none"


@pytest.mark.parametrize("part", ["<", "<tool", "<tool_call", "</", "</tool_call"])
def test_nothing_of_a_tag_that_the_token_limit_cut_is_shown(part: str) -> None:
    assert read(part, truncated=True) == ([], "")
    assert read(f"{TAGGED}\n{part}", truncated=True) == ([LAMP], "")
    assert read(f"Let me look.\n{part}", truncated=True)[1].strip() == "Let me look."


@pytest.mark.parametrize("form", [form for form in FORMS if form[0] in "<["])
def test_nothing_of_another_tag_that_the_token_limit_cut_is_shown(form: str) -> None:
    opening = form.find("]" if form[0] == "[" else ">")
    for end in range(2, opening + 1 if form.startswith(("<", "[TOOL")) else 2):
        assert read(f"Let me look.\n{form[:end]}", truncated=True)[1].strip() == "Let me look."
    closing = form.rfind("</")
    for end in range(closing + 1, len(form)) if closing > 0 else ():
        assert read(form[:end], truncated=True) == ([LAMP], "")


def test_a_name_after_a_namespace_is_read_the_same_however_it_is_chunked() -> None:
    assert read('functions.shop:search_catalogue {"query": "lamp"}') == ([LAMP], "")


def test_a_sign_at_the_end_of_a_whole_answer_is_shown() -> None:
    assert read("1 <") == ([], "1 <")
    assert read("Sure. <tool_ca")[1] == "Sure. "


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"": "search_catalogue"}</tool_call>',
        '<tool_call>{"name": "", "arguments": {}}</tool_call>',
        '<tool_call>{"name": ["search_catalogue"], "arguments": {}}</tool_call>',
        '<tool_call>{"name": "search_", "arguments": {"query": "lamp"}}</tool_call>',
        '{"tool_calls": [{"function": {"": "search_catalogue"}}]}',
        '<tool_call>{"name": "search_catalogue", "arguments": "lamp"}</tool_call>',
        f'<tool_call>{{"name": "search_catalogue", "arguments": {"[" * 50_000}</tool_call>',
        f"search_catalogue({'(' * 50_000}",
        f"search_catalogue({'(' * 5_000}{')' * 5_000})",
    ],
)
def test_what_can_not_be_called_is_invalid_and_raises_nothing(text: str) -> None:
    reader = ToolCallReader(ToolCallFormat.from_tools(TOOLS))
    (invalid,) = [*reader.feed(text), *reader.flush()]
    assert isinstance(invalid, dict)
    assert invalid["type"] == "invalid_tool_call"


def test_where_decoding_is_constrained_only_the_declared_form_counts() -> None:
    for form, count in ((TAGGED, 1), *((form, 0) for form in FORMS if "<tool_call>" not in form)):
        reader = ToolCallReader(ToolCallFormat.from_tools(TOOLS), NO_ESCAPING, declared_only=True)
        parts = [*reader.feed(form), *reader.flush()]
        assert len([part for part in parts if not isinstance(part, str)]) == count


def test_an_argument_keeps_its_quotes_and_tags() -> None:
    code = 'def f(): return "</parameter>"'
    written = f"<function=search_catalogue>\n<parameter=query>\n{code}\n</parameter>\n</function>"
    assert read(f"<tool_call>\n{written}\n</tool_call>") == ([call("search_catalogue", query=code)], "")
    assert read("Action: search_catalogue\nAction Input: '80s' and 'new'")[0] == [
        call("search_catalogue", query="'80s' and 'new'")
    ]
    assert read(TAGGED.replace("lamp", "</tool_call>"))[0] == [call("search_catalogue", query="</tool_call>")]
