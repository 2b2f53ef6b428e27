"""A run's page: self-contained, safe for any text of the model, correct during a run."""

import html
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sagechain.pretraining.manifest import write_json, write_manifest
from sagechain.pretraining.publishing.charts import HEIGHT, WIDTH, chart, terminal_curve
from sagechain.pretraining.publishing.report import write_report

from tests.pretraining.runs import corpus, history, manifest

VOID = {"meta", "line", "polyline", "br"}
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Page(HTMLParser):
    """A page's elements and its text; fails where elements are not nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def reported(run: Path, content: dict[str, Any], entries: list[dict[str, Any]]) -> Page:
    run.mkdir(exist_ok=True)
    write_manifest(run, content)
    write_json(run / "history.json", entries)
    return Page(write_report(run).read_text(encoding="utf-8"))


def test_the_page_shows_figures_settings_data_and_versions(tmp_path: Path) -> None:
    page = reported(tmp_path, manifest(resumed_at_tokens=[4_000]), history())
    for words in (
        "Pretraining run: preset demo", "Finished.", "validation, bits per byte 2.250",
        "validation, next token correct 37.5%",
        "parameters 5,322,240", "tokens seen 10,000", "tokens a second 506", "(MFU) 50%", "time of training 20 s",
        "removed: duplicates 12 34,567", "optimizer muon", "seconds not set", "Resumed at 4,000 tokens", "torch 2.",
        "after 5,000 tokens def add(left): return left",
    ):  # fmt: skip
        assert words in page.text


def test_the_page_loads_nothing_from_outside_and_runs_no_script(tmp_path: Path) -> None:
    page = reported(tmp_path, manifest(), history())
    assert {"http-equiv": "Content-Security-Policy", "content": POLICY} in page.of("meta")
    assert not {"script", "link", "img", "iframe", "object", "base"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        assert not {name for name in attributes if name in ("src", "href", "style") or name.startswith("on")}
    style = (tmp_path / "report.html").read_text().split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style


@pytest.mark.parametrize(
    "hostile",
    [
        "</pre><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "&lt;b&gt;", "{{ 7 * 7 }}", "a\x00b\x1b[2J",
        "\u202egnp.exe", "half \ud800 character",
    ],
)  # fmt: skip
def test_text_of_the_model_is_escaped_everywhere(hostile: str, tmp_path: Path) -> None:
    sample = {"tokens": 1, "seconds": 1.0, "sample": {"prompt": hostile, "completion": hostile}}
    content = manifest(preset=hostile, settings={hostile: hostile}, data={"source": hostile, "corpus": corpus(hostile)})
    tmp_path.joinpath("manifest.json").write_text(json.dumps({**content, "versions": {}}))
    tmp_path.joinpath("history.json").write_text(json.dumps([sample]))
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    plain = re.sub("[\x00\x1b\u202e\ud800]", "\ufffd", hostile)
    assert not page.of("script")
    assert not page.of("img")
    assert page.words.count(plain) >= 5


def numbers(page: Page) -> list[tuple[float, float]]:
    """Every point that a drawing of the page has."""
    found = []
    for tag, attributes in page.elements:
        if tag == "polyline":
            found += [tuple(map(float, pair.split(","))) for pair in str(attributes["points"]).split()]
        for names in (("x1", "y1"), ("x2", "y2"), ("cx", "cy"), ("x", "y")):
            if names[0] in attributes:
                found.append(tuple(float(str(attributes[name])) for name in names))
    return [(x, y) for x, y in found]


def test_every_curve_is_drawn_within_its_frame(tmp_path: Path) -> None:
    page = reported(tmp_path, manifest(), history())
    assert [svg["viewbox"] for svg in page.of("svg")] == [f"0 0 {WIDTH} {HEIGHT}"] * 3
    assert [len(str(line["points"]).split()) for line in page.of("polyline")] == [10, 2, 10, 10]
    points = numbers(page)
    assert len(points) > 50
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert "10k tokens: 2.25" in page.text


any_number = st.one_of(st.floats(), st.integers(-(10**20), 10**20), st.none(), st.text(max_size=3))


@given(st.lists(st.tuples(st.floats() | st.integers(-(10**20), 10**20), any_number), max_size=12))
def test_for_any_history_the_drawings_are_within_their_frames(
    tmp_path_factory: Any, pairs: list[tuple[Any, Any]]
) -> None:
    run = tmp_path_factory.mktemp("run")
    entries = [
        {"tokens": 1, "seconds": 1.0},
        *({"tokens": x, "bits_per_byte": y, "val_bits_per_byte": y} for x, y in pairs),
    ]
    write_manifest(run, manifest(done=False, tokens=None))
    (run / "history.json").write_text(json.dumps(entries))
    points = numbers(Page(write_report(run).read_text()))
    assert all(math.isfinite(x) and math.isfinite(y) and 0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert len(terminal_curve(entries).splitlines()) in (0, 10)


def test_ticks_are_round_numbers_that_enclose_the_curve() -> None:
    drawn = chart("loss", "bits per byte", [(0, 4.1), (300_000, 1.7)])
    assert drawn is not None
    assert [label for _, label in drawn.x_ticks] == ["0", "100k", "200k", "300k"]
    assert [label for _, label in drawn.y_ticks] == ["0", "1", "2", "3", "4", "5"]


def test_the_curve_of_a_long_history_includes_its_last_point() -> None:
    drawn = chart("loss", "bits", [(float(token), 1.0) for token in range(10_001)])
    assert drawn is not None
    points = drawn.line.split()
    assert len(points) <= 802
    assert points[-1].startswith(f"{drawn.right}")


def test_the_report_of_a_running_run_shows_its_last_checkpoint(tmp_path: Path) -> None:
    unfinished = manifest(done=False, tokens=None, seconds=None, val_bits_per_byte=None, val_accuracy=None, mfu=None,
                          tokens_per_second=None, weights_sha256=None, steps=None)  # fmt: skip
    page = reported(tmp_path, unfinished, history()[:3])
    assert "Not finished" in page.text
    assert "tokens seen 3,000" in page.text
    assert "validation, " not in page.text
    assert len(page.of("svg")) == 3


def test_the_report_of_prepared_data_names_what_each_filter_removed(tmp_path: Path) -> None:
    page = reported(tmp_path, manifest(data={"corpus": corpus("exact copy")}), history())
    assert (
        "read 52 134,567 removed: exact copy 12 34,567 used for training 35 90,000 used for validation 5 10,000"
        in page.text
    )


def test_a_folder_that_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"run: .*missing' is not a run"):
        write_report(tmp_path / "missing")
    write_manifest(tmp_path, {"stage": "prepare", "done": True})
    with pytest.raises(ValueError, match=r"run: .* is the output of 'prepare', not a run"):
        write_report(tmp_path)


@pytest.mark.parametrize("entries", [None, []])
def test_the_error_for_a_run_without_history_names_when_it_is_written(
    entries: list[Any] | None, tmp_path: Path
) -> None:
    write_manifest(tmp_path, manifest(done=False))
    if entries is not None:
        write_json(tmp_path / "history.json", entries)
    with pytest.raises(ValueError, match="has no history yet; it starts with the first checkpoint"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_the_terminals_curve_falls_from_the_upper_left_to_the_lower_right() -> None:
    lines = terminal_curve(history(), width=30, height=6).splitlines()
    assert len(lines) == 6
    assert all(len(line) <= 30 for line in lines)
    assert lines[0].startswith("2.90 ")
    assert lines[4].startswith("2.00 ")
    assert lines[5].endswith("10k tokens")
    assert lines[4][-1] != "\u2800" != lines[0][7]
    assert lines[4][5] == lines[0][-1] == "\u2800"


def test_the_terminals_curve_is_empty_before_the_first_loss_and_refuses_too_small_a_size() -> None:
    assert terminal_curve([{"tokens": 0, "seconds": 0.0}]) == ""
    with pytest.raises(ValueError, match="width, height: 10 x 5 is too small"):
        terminal_curve(history(), width=10, height=5)


def test_the_page_is_the_same_text_when_unescaped_twice(tmp_path: Path) -> None:
    page = reported(tmp_path, manifest(preset="a & b"), history())
    assert "preset a & b" in page.text == html.unescape(page.text)
