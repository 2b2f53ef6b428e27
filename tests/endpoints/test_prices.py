"""Prices: dated, never guessed, and marked when they are old or of another region."""

from datetime import date
from importlib.resources import files

import pytest
import yaml
from sagechain.endpoints.pricing import price_of

FRESH = date(2026, 11, 1)


def test_a_price_has_its_date_and_source() -> None:
    price = price_of("ml.g5.2xlarge", "us-east-1", on=FRESH)
    assert (price.usd_per_hour, price.dated, price.is_stale, price.note) == (1.515, date(2026, 9, 1), False, "")
    assert "AWS Price List" in price.source


def test_the_price_of_an_unknown_instance_is_none_and_not_zero() -> None:
    price = price_of("ml.x9.large", "us-east-1", on=FRESH)
    assert price.usd_per_hour is None
    assert price.note.startswith("the price of ml.x9.large is not known here: https://")
    assert price.source == ""


@pytest.mark.parametrize(
    ("region", "nearest"), [("eu-west-1", "us-east-1"), ("ap-southeast-2", "us-west-2"), ("us-west-1", "us-west-2")]
)
def test_the_price_of_another_region_has_a_note(region: str, nearest: str) -> None:
    price = price_of("ml.g5.2xlarge", region, on=FRESH)
    assert (price.usd_per_hour, price.region) == (1.515, region)
    assert price.note == f"the price of {nearest}, as that of {region} is not known here"


@pytest.mark.parametrize(("on", "is_stale"), [(date(2027, 2, 28), False), (date(2027, 3, 1), True)])
def test_a_price_is_stale_after_180_days(on: date, is_stale: bool) -> None:
    price = price_of("ml.g5.2xlarge", "us-east-1", on=on)
    assert price.is_stale is is_stale
    assert price.note == ("of 2026-09-01, older than 180 days" if is_stale else "")


def test_every_figure_has_a_source_and_none_is_zero() -> None:
    data = yaml.safe_load((files("sagechain.endpoints") / "prices.yaml").read_text(encoding="utf-8"))
    for name, known in data["instances"].items():
        assert known["source"] in data["sources"], name
        assert known["usd_per_hour"] > 0, name


def test_the_prices_agree_with_those_that_training_is_planned_with() -> None:
    hardware = yaml.safe_load((files("sagechain.pretraining.planning") / "hardware.yaml").read_text(encoding="utf-8"))
    planned = {name: known["usd_per_hour"] for name, known in hardware["instances"].items() if known["usd_per_hour"]}
    ours = {name: price_of(name, "us-east-1").usd_per_hour for name in planned}
    assert ours == pytest.approx(planned, rel=0.001)
