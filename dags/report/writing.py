"""Writing the report of a finished corpus."""

import os
from datetime import UTC, datetime

from dags.report.drawing import ReportError
from dags.report.facts import facts_of
from dags.report.page import page
from pipeline import storage
from pipeline.schema import PipelineError


def write_report(root: str, path: str | None = None) -> str:
    """Where the report now lies: `path`, or ROOT/corpus/report.html.

    Raises ReportError if it cannot be written: the corpus, which was finished before, stays whole.
    """
    path = path or storage.join(root, "corpus", "report.html")
    try:
        name = os.path.basename(os.path.abspath(root)) if storage.is_local(root) else root.rstrip("/").rpartition("/")[2]
        storage.write_text(path, page(facts_of(root), name=name or root, written=datetime.now(UTC)))
    except PipelineError as error:
        raise ReportError(
            f"the corpus in {root} is finished, but not its report: {error} Then run `webtext inspect {root} --html`."
        ) from error
    return path
