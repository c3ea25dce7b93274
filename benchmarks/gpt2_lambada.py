"""LAMBADA by our evaluation and by the lm-evaluation-harness, offline, on the same exported model and the same file.

    python benchmarks/gpt2_lambada.py --model EXPORTED --file lambada_test_openai.jsonl [--limit 200]

Needs lm-eval 0.4.13, which is no dependency of the project.  The harness scores the whole last word: our second reading.
"""

import argparse
import json
import os
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

TASK = """task: lambada_here
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: loglikelihood
doc_to_text: "{{{{text.rsplit(' ', 1)[0]}}}}"
doc_to_target: "{{{{' ' + text.rsplit(' ', 1)[1]}}}}"
metric_list:
  - {{metric: perplexity, aggregation: perplexity, higher_is_better: false}}
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1}}
"""


def harness(model: Path, file: Path, *, folder: Path) -> tuple[float, float]:
    """Perplexity and accuracy as the harness gives them."""
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HOME=str(folder / "cache"))
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    (folder / "lambada_here.yaml").write_text(TASK.format(file=file))
    found = lm_eval.simple_evaluate(
        model=HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=8),
        tasks=["lambada_here"],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
    )["results"]["lambada_here"]
    return found["perplexity,none"], found["acc,none"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()

    from model.evaluation.lambada import lambada, passages
    from model.load import loaded, vocabulary_of

    texts = passages(options.file)[: options.limit]
    model = loaded(options.model)
    started = time.process_time()
    ours = lambada(model.network, texts, vocabulary=vocabulary_of(model, given=None))
    middle = time.process_time()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "passages.jsonl"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        perplexity, accuracy = harness(options.model.resolve(), file, folder=folder)
    ended = time.process_time()
    print(f"{len(texts):,} passages of {options.file.name}; lm-eval {version('lm-eval')}, transformers {version('transformers')}")
    print(f"harness  perplexity {perplexity:.6f}  accuracy {accuracy:.6f}  {ended - middle:.1f} CPU s")
    print(f"ours     perplexity {ours.word_perplexity:.6f}  accuracy {ours.word_accuracy:.6f}  {middle - started:.1f} CPU s")
    print(
        f"ratio    perplexity {ours.word_perplexity / perplexity:.7f}  accuracy differs by {ours.word_accuracy - accuracy:+.6f}"
    )


if __name__ == "__main__":
    main()
