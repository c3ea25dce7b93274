"""The worst texts for a BPE: CPU seconds to train to 4,096 tokens and to encode, beside the other trainers.

    python benchmarks/tokenizer_worst.py TEXT --peer-python /path/to/python [--limit-s 25] [--only ours,tokenizers]

TEXT gives the letters: a file of some 50 MB in several scripts.  Each text is one document.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import warnings

from tokenizer_train import TRAINERS

SIZE = 4096


def worst_texts(path: str) -> dict[str, str]:
    """Each text by its name."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    letters = "".join(re.findall("[A-Za-z]+", text[:30_000_000]))
    chinese = "".join(re.findall("[\u3040-\u30ff\u4e00-\u9fff]+", text))
    draw = random.Random(0)
    lines = ["a" * 10**6, "=" * 10**6, " " * 10**6, "\n" * 200_000, "ab" * 500_000, "aab" * 300_000, text[:10**6]]
    return {
        "word of 100 kB": letters[:100_000],
        "word of 1 MB": letters[:1_000_000],
        "word of 10 MB": letters[:10_000_000],
        "6 MB of runs": "\n".join(lines),
        "6 MB of one letter": "a" * 6_000_000,
        "Chinese without a space": (chinese * (1 + 3_000_000 // max(len(chinese), 1)))[:3_000_000],
        "4 MB of base64": "".join(draw.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=4_000_000)),
    }


def child(name: str, path: str) -> None:
    with open(path, encoding="utf-8") as file:
        text = file.read()
    warnings.simplefilter("ignore")
    TRAINERS[name](iter(["warm up the trainer " * 200]), 300, 1, None)
    started = time.process_time()
    TRAINERS[name](iter([text]), SIZE, 1, None)
    seconds = {"train": time.process_time() - started}
    if name == "ours":
        from tokenizer import train

        tokenizer = train([text], vocab_size=SIZE)
        tokenizer.encode("warm up")
        started = time.process_time()
        ids = tokenizer.encode(text)
        seconds["encode"] = time.process_time() - started
        assert tokenizer.decode(ids) == text
    print(json.dumps(seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--only", default=",".join(TRAINERS))
    parser.add_argument("--limit-s", type=int, default=60, help="wall seconds for each")
    parser.add_argument("--child", choices=TRAINERS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.text)
        return
    names = options.only.split(",")
    print(f"{'CPU seconds':<26}{'bytes':>12}" + "".join(f"{name:>12}" for name in names) + f"{'our encode':>12}")
    for label, text in worst_texts(options.text).items():
        cells, encode = [], ""
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            for name in names:
                python = sys.executable if name == "ours" else options.peer_python
                command = [python, __file__, file.name, "--child", name]
                environment = {**os.environ, "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
                try:
                    done = subprocess.run(
                        command, env=environment, capture_output=True, text=True, timeout=options.limit_s, check=True
                    )
                except subprocess.TimeoutExpired:
                    cells.append(f"stopped {options.limit_s}")
                except subprocess.CalledProcessError as error:
                    print(error.stderr.strip().splitlines()[-1], file=sys.stderr)
                    cells.append("failed")
                else:
                    found = json.loads(done.stdout.splitlines()[-1])
                    cells.append(f"{found['train']:.2f}")
                    encode = f"{found['encode']:.2f}" if "encode" in found else encode
        print(f"{label:<26}{len(text.encode()):>12,}" + "".join(f"{cell:>12}" for cell in cells) + f"{encode:>12}", flush=True)


if __name__ == "__main__":
    main()
