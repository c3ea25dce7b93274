"""What every test may lean on."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data that stays out of the repository: WEBTEXT_SHARED, or `shared` beside the checkout."""
    folder = Path(os.environ.get("WEBTEXT_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("the shared data is not on this machine")
    return folder / "data"
