"""One web and one whole run of it for all laws."""

from pathlib import Path

import pytest
from runs import reference
from small_web import Files, Web, small_web


@pytest.fixture(scope="session")
def web() -> Web:
    return small_web()


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, web: Web) -> tuple[Files, Path]:
    """Files of the web, and the output of a run that nobody disturbed.  To be read only."""
    return reference(tmp_path_factory, web)
