"""GPT-2's byte-level BPE: train, encode, decode.

    tokenizer = train(texts, vocab_size=50257)
    ids = tokenizer.encode("Hello world")
    tokenizer.save("vocab")

`slow.py` says the same in forty readable lines.
"""

from tokenizer.bpe import Tokenizer
from tokenizer.files import TokenizerError
from tokenizer.training import SmallTextWarning, train

__all__ = ["SmallTextWarning", "Tokenizer", "TokenizerError", "train"]
