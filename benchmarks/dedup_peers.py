"""What other programs need for MinHash: run by dedup_signatures.py and dedup_pipeline.py with the interpreter that has them.

    PYTHON dedup_peers.py TASK FILE    with FILE as JSON lines of id and text; prints CPU seconds as JSON
"""

import json
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

WORD = re.compile(r"\W+", re.UNICODE)
SEPARATORS = re.compile(rb"(?:[^a-z0-9_\x80-\xff]|\xe2[\x80\x81].|\xc2.)+", re.DOTALL)
WARM_UP = 20  # documents before the clock starts: imports, models and compilation are not counted against a peer


def shingles(text: str) -> list[bytes]:
    """Our shingles in plain Python, for libraries that take shingles."""
    tokens = [token for token in SEPARATORS.split(text.lower().encode("utf-8", "surrogatepass")) if token]
    return [b" ".join(tokens[first : first + 5]) for first in range(max(1, len(tokens) - 4))]


def datatrove_signatures() -> Callable[[str], object]:
    """MinhashDedupSignature with its defaults: spaCy words, 14 x 8."""
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

    step = MinhashDedupSignature(tempfile.mkdtemp(), config=MinhashConfig())
    return lambda text: step.get_signature(step.get_shingles(text))


def datasketch_bulk() -> Callable[[str], object]:
    import xxhash
    from datasketch import MinHash

    permutations = MinHash(num_perm=112, seed=1, scheme="affine32").permutations

    def sign(text: str) -> object:
        sketch = MinHash(112, 1, xxhash.xxh32_intdigest, permutations=permutations, scheme="affine32")
        sketch.update_batch(shingles(text))
        return sketch.hashvalues

    return sign


def text_dedup_embed() -> Callable[[str], object]:
    """Its embed function with its defaults but for the number of permutations."""
    import numpy as np
    from text_dedup import minhash
    from text_dedup.utils.hashfunc import xxh3_32hash

    prime, largest, places = np.uint64((1 << 61) - 1), np.uint32((1 << 32) - 1), 112
    random = np.random.RandomState(42)
    permutations = (
        random.randint(1, prime, size=(places,), dtype=np.uint64),
        random.randint(0, prime, size=(places,), dtype=np.uint64),
    )
    settings = {
        "num_perm": places, "ngram_size": 5, "min_length": 0, "hashranges": [(first, first + 8) for first in range(0, places, 8)],
        "permutations": permutations, "hash_func": xxh3_32hash, "dtype": np.uint64, "max_hash": largest, "modulo_prime": prime,
    }  # fmt: skip
    return lambda text: minhash.embed_func(text, 0, **settings)


def rensa_rminhash() -> Callable[[str], object]:
    from rensa import RMinHash

    def sign(text: str) -> object:
        sketch = RMinHash(num_perm=112, seed=1)
        sketch.update([part.decode("utf-8", "surrogatepass") for part in shingles(text)])
        return sketch.digest()

    return sign


SIGNERS = {
    "datatrove": datatrove_signatures,
    "datasketch": datasketch_bulk,
    "text-dedup": text_dedup_embed,
    "rensa": rensa_rminhash,
}


def signing_cpu(sign: Callable[[str], object], texts: Iterable[str]) -> float:
    texts = list(texts)
    for text in texts[:WARM_UP]:
        sign(text)
    started = time.process_time()
    for text in texts:
        sign(text)
    return time.process_time() - started


def datatrove_pipeline(file: str) -> int:
    """All four steps on one worker; returns how many documents are left."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    folder, config = Path(tempfile.mkdtemp()), MinhashConfig()
    names = {name: str(folder / name) for name in ("signatures", "buckets", "remove", "output", "logs")}
    source, pattern = str(Path(file).parent), Path(file).name

    def reader() -> JsonlReader:
        return JsonlReader(source, glob_pattern=pattern, compression=None)

    steps = [
        ([reader(), MinhashDedupSignature(names["signatures"], config=config)], 1),
        ([MinhashDedupBuckets(names["signatures"], names["buckets"], config=config)], config.num_buckets),
        ([MinhashDedupCluster(names["buckets"], names["remove"], config=config)], 1),
        ([reader(), MinhashDedupFilter(names["remove"]), JsonlWriter(names["output"], compression=None)], 1),
    ]
    for number, (pipeline, tasks) in enumerate(steps):
        executor = LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=f"{names['logs']}{number}")
        executor.run()
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in Path(names["output"]).glob("*.jsonl"))


def main(task: str, file: str) -> None:
    with open(file, encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    if task == "datatrove-pipeline":
        left = datatrove_pipeline(file)
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        print(json.dumps({"cpu_s": sum(one.ru_utime + one.ru_stime for one in usage), "left": left}))
    else:
        print(json.dumps({"cpu_s": signing_cpu(SIGNERS[task](), texts)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
