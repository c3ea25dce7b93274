"""GPT-2: the network, its training and its evaluation.  Reading a size costs no torch; the network does."""

from typing import TYPE_CHECKING, Any

from model.config import SIZES, GPT2Config

if TYPE_CHECKING:
    from model.network import GPT2

__all__ = ["GPT2", "SIZES", "GPT2Config"]


def __getattr__(name: str) -> Any:
    if name == "GPT2":  # importing torch takes seconds
        from model.network import GPT2

        return GPT2
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
