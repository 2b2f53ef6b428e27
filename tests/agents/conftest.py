"""The shop of the assistant's tests."""

from pathlib import Path

import pytest
from sagechain.agents.shop.database import ShopDatabase


@pytest.fixture
def shop(tmp_path: Path) -> ShopDatabase:
    return ShopDatabase(tmp_path / "shop.sqlite")
