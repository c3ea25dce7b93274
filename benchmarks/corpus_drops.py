"""The whole DAG over 212,740 real submissions and an archive without a page: what each rule drops, beside what is known.

    python benchmarks/corpus_drops.py SHARED

The known counts are of all 2,260,510 rows of the collection that the submissions are a sample of, counted by another program
(docs/links.md).  Each is scaled by the outbound links of the sample over those of the whole.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from measured import measured, stage_of

STAGES = ("links", "pages", "documents", "signatures", "edges", "duplicates", "corpus")
WARCINFO = b"WARC/1.1\r\nWARC-Type: warcinfo\r\nContent-Length: 19\r\n\r\nsoftware: webtext\r\n\r\n\r\n"
KNOWN_LINKS = 1_625_997
KNOWN = {
    "IMAGE_HOST": 849_708, "MEDIA_HOST": 210_116, "EXTENSION": 59_417, "LOW_KARMA": 32_587, "REDDIT": 25_929,
    "WIKIPEDIA": 9_097, "SHORTENER": 571, "UNPARSABLE": 26, "SCHEME": 24, "REPOST": 438_513 - 408_207, "kept": 408_207,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        archive = Path(root, "empty.warc")
        archive.write_bytes(WARCINFO)
        command = [sys.executable, "-m", "dags", "corpus", "--output", f"{root}/corpus", "--workers", "1", "--quiet"]
        command += ["--submissions", str(options.shared / "data" / "submissions_real.zst"), "--archive", str(archive)]
        used = measured(command, stage=stage_of(f"{root}/corpus", STAGES))
        manifest = json.loads(Path(root, "corpus", "corpus", "manifest.json").read_text())
        times = json.loads(Path(root, "corpus", "run.json").read_text())["stages"]
    print(used.output)
    stages = {stage["name"]: stage for stage in manifest["stages"]}
    links = stages["links"]
    outbound = links["in"] - links["dropped"].get("SELF_POST", 0)
    ours = {**links["dropped"], "kept": links["kept"]}
    print(f"{links['in']:,} submissions, {outbound:,} outbound links\n\n{'reason':<20}{'ours':>10}{'known, scaled':>16}")
    for name in sorted({*ours, *KNOWN}, key=lambda name: -ours.get(name, 0)):
        known = f"{KNOWN[name] * outbound / KNOWN_LINKS:,.0f}" if name in KNOWN else "-"
        print(f"{name:<20}{ours.get(name, 0):>10,}{known:>16}")
    print(f"\npages: {stages['pages']['dropped']}; corpus rows {sum(shard['rows'] for shard in manifest['shards'])}")
    print(f"\n{used.cpu_s:.1f} CPU s, {links['in'] / used.cpu_s:,.0f} submissions per CPU second, start-up included")
    main_mb = {stage: f"{used.peak_mb['main'].get(stage, 0):.0f} MB" for stage in STAGES}
    print("seconds by stage: " + ", ".join(f"{name} {stage['seconds']}" for name, stage in times.items()))
    print("main process, own memory: " + ", ".join(f"{stage} {peak}" for stage, peak in main_mb.items()))


if __name__ == "__main__":
    main()
