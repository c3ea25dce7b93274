"""Claim: text to signature at least 100x faster than datatrove, 10x than datasketch, 15x than text-dedup, 6x than rensa.

    python benchmarks/dedup_signatures.py --peers PYTHON [--documents FILE] [--count 2000]

PYTHON: an interpreter with datatrove[processing]==0.10.1 spacy datasketch==2.0.0 rensa==0.5.0 text-dedup==0.4.0 xxhash.
Every program gets the same texts and makes 112 places of them (14 x 8, datatrove's number); CPU seconds of one core.
"""

import argparse
import io
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import zstandard

from pipeline.minhash import signatures

FLOORS = {"datatrove": 100, "datasketch": 10, "text-dedup": 15, "rensa": 6}
REPEATS = 5


def documents(path: str, *, count: int) -> list[dict]:
    """The first documents of a packed file of JSON lines."""
    with open(path, "rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8")
        return [json.loads(line) for _, line in zip(range(count), lines, strict=False)]


def dev_documents() -> str:
    shared = os.environ.get("WEBTEXT_SHARED", Path(__file__).parent.parent.parent / "shared")
    return str(Path(shared) / "data" / "dedup" / "dev.jsonl.zst")


def peer_result(python: str, task: str, file: str) -> dict:
    """What a task of dedup_peers.py prints last."""
    command = [python, str(Path(__file__).parent / "dedup_peers.py"), task, file]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    if run.returncode:
        raise SystemExit(f"{task}: {run.stderr[-1500:]}")
    return json.loads(run.stdout.strip().splitlines()[-1])


def our_cpu(texts: list[str], *, num_perm: int) -> float:
    """The best of a few repeats."""
    signatures(texts[:20], num_perm=num_perm)
    best = float("inf")
    for _ in range(REPEATS):
        started = time.process_time()
        signatures(texts, num_perm=num_perm)
        best = min(best, time.process_time() - started)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, metavar="PYTHON")
    parser.add_argument("--documents", default=dev_documents(), metavar="FILE")
    parser.add_argument("--count", type=int, default=2000)
    options = parser.parse_args()
    rows = documents(options.documents, count=options.count)
    texts = [row["text"] for row in rows]
    size = sum(len(text.encode()) for text in texts)
    ours = our_cpu(texts, num_perm=112)
    print(f"{len(texts):,} documents, {size / 1e6:.2f} MB, 112 places")
    print(f"webtext     {ours:8.3f} CPU s  {size / 1e6 / ours:7.1f} MB/s")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "documents.jsonl"
        file.write_text("".join(json.dumps({"id": row["id"], "text": row["text"]}) + "\n" for row in rows))
        for name, floor in FLOORS.items():
            cpu = peer_result(options.peers, name, str(file))["cpu_s"]
            verdict = "reached" if cpu / ours >= floor else "MISSED"
            print(f"{name:<11} {cpu:8.3f} CPU s  {cpu / ours:7.1f}x ours; goal {floor}x {verdict}")
    print(f"webtext at 252 places: {our_cpu(texts, num_perm=252):.3f} CPU s")


if __name__ == "__main__":
    main()
