"""Radford et al. 2019, table 3: zero-shot results, as printed, by size."""

from typing import NamedTuple

from model.config import SIZES, GPT2Config

COLUMNS = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
LABELS = {"gpt2": "117M", "gpt2-medium": "345M", "gpt2-large": "762M", "gpt2-xl": "1542M"}


class Row(NamedTuple):
    """One column of table 3, over the four sizes."""

    values: tuple[float, float, float, float]
    note: str = ""


UNREPEATED = "nobody is known to have got the paper's number again (huggingface/transformers#13786)"

TABLE_3 = {
    "lambada-perplexity": Row((35.13, 15.60, 10.87, 8.63)),
    "lambada-accuracy": Row(
        (45.99, 55.48, 60.12, 63.24), "with the stop-word filter; users get 46.7 to 46.9 for the last token without"
    ),
    "cbt-cn": Row((87.65, 92.35, 93.45, 93.30)),
    "cbt-ne": Row((83.4, 87.1, 88.0, 89.05)),
    "wikitext-2": Row(
        (29.41, 22.76, 19.93, 18.34), "comes back as perplexity per token of the raw text, which the file with <unk> is not"
    ),
    "ptb": Row((65.85, 47.33, 40.31, 35.76), UNREPEATED),
    "enwik8": Row((1.16, 1.01, 0.97, 0.93), UNREPEATED),
    "text8": Row((1.17, 1.06, 1.02, 0.98), UNREPEATED),
    "wikitext-103": Row(
        (37.50, 26.37, 22.05, 17.48), "comes back as perplexity per original word, de-tokenised; the test set is WikiText-2's"
    ),
    "1bw": Row((75.20, 55.72, 44.575, 42.16)),
}


def column(config: GPT2Config) -> str:
    """The size of the paper to compare with: the same, or the smallest where there is none."""
    for size in COLUMNS:
        if (config.n_layer, config.n_embd) == (SIZES[size].n_layer, SIZES[size].n_embd):
            return size
    return COLUMNS[0]


def printed(test: str, *, config: GPT2Config) -> float:
    """The paper's number."""
    return TABLE_3[test].values[COLUMNS.index(column(config))]
