"""The assistant in the terminal: the customer decides on orders there, or in a later run."""

import os
import pty
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from sagechain.agents.shop.database import ShopDatabase
from sagechain.agents.shop.orders import find_order
from sagechain.agents.shop.terminal import ShopTerminal
from sagechain.chains import open_store

from tests.agents.ordering import PLACED, QUESTION, REQUEST, ordering_graph


def serve(shop: ShopDatabase, turns: list[str], *, approve: bool | None = None, order: str | None = None) -> int:
    """One run of the script over a scripted model; its exit code."""
    with open_store(shop.path) as store:
        terminal = ShopTerminal(ordering_graph(shop, store), shop, "ada")
        try:
            terminal.serve(turns, approve=approve, order=order)
        except typer.Exit as end:
            return int(end.exit_code)
    return 0


def test_without_a_terminal_an_order_waits_for_a_later_run(
    shop: ShopDatabase, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path(os.devnull).open() as no_terminal:
        monkeypatch.setattr(sys, "stdin", no_terminal)
        for _ in range(2):
            assert serve(shop, [REQUEST, "a turn that is never answered"]) == 3
            lines = capsys.readouterr().err.splitlines()
            assert lines[0] == f"(Waiting for approval: {QUESTION})"
            [order] = re.findall(r"^\(To continue: --thread ada --order (\w+) --approve, or --reject\.\)$", lines[1])
            assert len(lines) == 2
        with pytest.raises(ValueError, match="--order: another order waits in thread 'ada' now"):
            serve(shop, [], approve=True, order="0123456789abcdef")
        assert find_order(shop, 1001) is None
        assert serve(shop, [], approve=True, order=order) == 0
        assert capsys.readouterr() == (f"{PLACED}\n", f"{QUESTION} yes\n")
        assert find_order(shop, 1001) is not None
        with pytest.raises(ValueError, match="no order waits in thread 'ada'"):
            serve(shop, [], approve=True)


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The end of a terminal at which a person types; standard input is the other end."""
    keyboard, terminal = pty.openpty()
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield keyboard
    os.close(keyboard)


@pytest.mark.parametrize(
    ("typed", "ordered"),
    [("y\n", ("Heron 2 tent", 2)), ("n\n", None), ("\n", None), ("edit\nMarsh tarp\n3\ny\n", ("Marsh tarp", 3))],
)
def test_on_a_terminal_the_customer_decides(
    shop: ShopDatabase,
    keyboard: int,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    ordered: tuple[str, int] | None,
) -> None:
    os.write(keyboard, typed.encode())
    assert serve(shop, [REQUEST]) == 0
    assert f"{QUESTION} [y/N/edit] " in capsys.readouterr().err
    order = find_order(shop, 1001)
    assert (order and (order.product, order.quantity)) == ordered
