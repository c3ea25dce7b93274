"""A web on loopback and a crawl of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from crawling import Crawl

from examples.fixture_web import FixtureWeb


@pytest.fixture
def web() -> Iterator[FixtureWeb]:
    with FixtureWeb(drip_s=0.2) as served:
        yield served


@pytest.fixture
def crawl(tmp_path: Path) -> Crawl:
    return Crawl(tmp_path)
