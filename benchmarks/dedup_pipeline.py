"""Claim: `webtext dedup` of 10,000 documents takes at most a twentieth of the CPU of datatrove's four steps, start-up included.

    python benchmarks/dedup_pipeline.py --peers PYTHON [--documents FILE]

Both read the same JSON lines and write what is left.  PYTHON: as for dedup_signatures.py.  Run it twice: the first run
compiles our kernels, which are cached from then on.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from dedup_signatures import dev_documents, documents, peer_result

GOAL = 20


def children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def our_result(file: str, root: str, *flags: str) -> dict:
    """CPU seconds of the installed command, and how many rows are left."""
    before = children_cpu()
    command = [sys.executable, "-m", "dags", "dedup", "--input", file, "--output", root, "--quiet", *flags]
    subprocess.run(command, check=True, capture_output=True)
    return {"cpu_s": children_cpu() - before, "left": json.loads((Path(root) / "dedup.json").read_text())["kept"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, metavar="PYTHON")
    parser.add_argument("--documents", default=dev_documents(), metavar="FILE")
    options = parser.parse_args()
    rows = documents(options.documents, count=1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "documents.jsonl"
        file.write_text("".join(json.dumps({"id": row["id"], "text": row["text"]}) + "\n" for row in rows))
        ours = our_result(str(file), f"{folder}/ours")
        same = our_result(str(file), f"{folder}/same", "--dedup", "fineweb")
        peer = peer_result(options.peers, "datatrove-pipeline", str(file))
    print(f"{len(rows):,} documents")
    print(f"webtext dedup                   {ours['cpu_s']:7.2f} CPU s  {ours['left']:,} left")
    print(f"webtext dedup --dedup fineweb   {same['cpu_s']:7.2f} CPU s  {same['left']:,} left")
    print(f"datatrove, four steps           {peer['cpu_s']:7.2f} CPU s  {peer['left']:,} left")
    ratio = peer["cpu_s"] / ours["cpu_s"]
    print(f"ratio {ratio:.1f}x, goal {GOAL}x {'reached' if ratio >= GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
