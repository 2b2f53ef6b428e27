"""Each filter with a document that it passes and one that it removes, and the order in which they count."""

import string
from time import process_time

import pytest
from datatrove.data import Document
from datatrove.utils.stats import PipelineStats
from hypothesis import given
from hypothesis import strategies as st
from sagechain.pretraining.data.counts import left_out, total_counts
from sagechain.pretraining.data.filters import (
    Alphanumeric,
    CodeFilter,
    Generated,
    Keywords,
    Licenses,
    LineLengths,
    Predicate,
    Secrets,
    Syntax,
    filter_data,
)

MARK = "automatically generated"
# Made up, and cut in two so that no scanner takes this file for a leak.
AWS_KEY = "AKIA" + "QWERTYUIOPASDFGH"
GITHUB_TOKEN = "ghp_" + "a1B2" * 9
PRIVATE_KEY = "-----BEGIN RSA " + "PRIVATE KEY-----"
SLACK_TOKEN = "xoxb-" + "1234567890-abcdefghij"
STRIPE_KEY = "sk_live_" + "a1B2c3D4" * 3
AZURE_KEY = "AccountKey=" + "a1B2c3D4" * 11
WEB_TOKEN = "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
# Of the right form and the least length.
YOUNGER_TOKENS = (
    "github_pat_" + "a1" * 41,
    "hf_" + "a1" * 17,
    "AIza" + "a1" * 17 + "-",
    "GOCSPX-" + "a1" * 14,
    "sk-" + "a1" * 24,
    "sk-proj-" + "a1" * 20,
    "sk-ant-api03-" + "a1" * 20,
    "gsk_" + "a1" * 26,
    "dapi" + "a1" * 16,
)


def document(text: str, **metadata: str) -> Document:
    return Document(text=text, id="a.py", metadata=metadata)


@pytest.mark.parametrize(
    ("predicate", "good", "bad"),
    [
        (Keywords(["pandas", "sklearn"]), "import pandas as pd", "import numpy as np"),
        (LineLengths(100, 1000), "a = 1\n" + "x" * 100, "x" * 101),
        (LineLengths(1000, 100), "x" * 100, "a = 1\n" * 1000 + "x" * 101),
        (Alphanumeric(0.25), "ab......", "a......."),
        (Alphanumeric(0.25), "éé······", "é·······"),
        (Generated(), "\n" * 5 + f"# {MARK}", "\n" * 4 + f"# {MARK.upper()}"),
        (Syntax(), "match x:\n    case 1: pass", 'print "hello"'),
        (Syntax(), '"\\d"', "a = 1\n  b = 2"),
        (Secrets(), "key = os.environ['AWS_KEY']", f"key = '{AWS_KEY}'"),
    ],
)
def test_a_filter_passes_one_and_removes_the_other(predicate: Predicate, good: str, bad: str) -> None:
    assert not predicate.removes(document(good))
    assert predicate.removes(document(bad))


@pytest.mark.parametrize(
    "secret",
    [AWS_KEY, GITHUB_TOKEN, PRIVATE_KEY, SLACK_TOKEN, STRIPE_KEY, AZURE_KEY, WEB_TOKEN, *YOUNGER_TOKENS],
    ids=lambda text: text[:8],
)
def test_credentials_are_found_in_the_middle_of_code(secret: str) -> None:
    assert Secrets().removes(document(f"a = 1\n\ndef f():\n    return '{secret}'\n"))


@pytest.mark.parametrize(
    "text",
    [
        "password = 'hunter2'",
        "host = '192.0.2.1'",
        "sha = '" + "0a1b2c3d" * 5 + "'",
        *(f"{token[:-1]} {token[-1]}" for token in YOUNGER_TOKENS),
        "/disk-" + "a1" * 24,
        "hf_hub_download_from_the_newest_revision_of_it()",
    ],
)
def test_text_that_only_resembles_a_credential_is_not_removed(text: str) -> None:
    assert not Secrets().removes(document(text))


@pytest.mark.parametrize(
    "text", ["(" * 10_000, "-" * 200_000 + "1", "a" + "+a" * 200_000, "x = '\\ud800'\0", "1" * 5_000]
)
def test_code_that_breaks_the_parser_is_just_removed(text: str) -> None:
    assert Syntax().removes(document(text))


@pytest.mark.parametrize("line_end", ["\n", "\r", "\x0c", "\x85", "\u2028"])
def test_the_search_for_credentials_is_linear_whatever_ends_the_short_lines(line_end: str) -> None:
    filters, seconds = (LineLengths(100, 1000), Secrets()), []
    for lines in (600, 1_200):
        text = f"{'//abc' * 19}{line_end}" * lines
        started = process_time()
        assert not any(each.removes(document(text)) for each in filters)
        seconds.append(process_time() - started)
    assert seconds[1] <= max(0.1, 3 * seconds[0])


def test_documents_without_a_listed_licence_are_removed() -> None:
    licenses = Licenses(["MIT"])
    assert not licenses.removes(document("", license="mit"))
    assert licenses.removes(document("", license="gpl-3.0"))
    assert licenses.removes(document(""))


def test_permissive_means_a_list_of_licences() -> None:
    licenses = Licenses(["permissive", "mpl-2.0"])
    stays = [
        name for name in ("apache-2.0", "isc", "mpl-2.0", "gpl-2.0") if not licenses.removes(document("", license=name))
    ]
    assert stays == ["apache-2.0", "isc", "mpl-2.0"]


def test_a_document_is_counted_under_the_first_reason_with_its_bytes() -> None:
    step = CodeFilter([Keywords(["a"]), Alphanumeric(0.3), Syntax()])
    texts = ["é", "a....", "a ('b'", "a = b", "a..."]
    assert [found.text for found in step.run([document(text) for text in texts])] == ["a = b"]
    assert removed(step) == {"no keyword": (1, 2), "few letters": (2, 9), "syntax": (1, 6)}


def removed(step: CodeFilter) -> dict[str, tuple[int, int]]:
    """Documents and bytes by reason."""
    return left_out(total_counts(PipelineStats([step.stats])))


@given(st.text(min_size=1).filter(str.strip), st.floats(0, 1))
def test_the_share_of_letters_is_that_of_isalnum(text: str, share: float) -> None:
    removed = sum(map(str.isalnum, text)) / len(text) < share
    assert Alphanumeric(share).removes(document(text)) == removed


@given(st.text(string.printable, min_size=1).filter(str.strip))
def test_every_document_is_passed_on_or_counted(text: str) -> None:
    step = CodeFilter([LineLengths(100, 1000), Generated(), Secrets(), Syntax()])
    passed = list(step.run([document(text)]))
    assert [found.text for found in passed] == [text] * len(passed)
    assert len(passed) + sum(documents for documents, _ in removed(step).values()) == 1


def test_the_thresholds_are_those_of_codeparrot() -> None:
    limits = filter_data()["thresholds"]
    assert (limits["max_line_mean"], limits["max_line_length"], limits["min_alphanumeric"]) == (100, 1000, 0.25)
