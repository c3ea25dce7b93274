"""What every test may lean on."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("shared machine", deadline=None)  # a slow moment of the machine is no failure
settings.load_profile("shared machine")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data that stays out of the repository: WEBTEXT_SHARED, or `shared` beside the checkout."""
    folder = Path(os.environ.get("WEBTEXT_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("the shared data is not on this machine")
    return folder / "data"
