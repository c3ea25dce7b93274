"""The reference run of the laws, to compare with."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "laws"))
from runs import reference
from small_web import Files, Web, small_web


@pytest.fixture(scope="session")
def web() -> Web:
    return small_web()


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, web: Web) -> tuple[Files, Path]:
    """Files of the small web, and the output of one whole local run.  To be read only."""
    return reference(tmp_path_factory, web)
