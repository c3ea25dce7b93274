"""Pages that break parsers, through the real sandbox: each ends in a document or in the right reason."""

from collections.abc import Iterator

import pytest
from pages_to_fear import FEARS, Fear, record

from pipeline.documents.document import DocumentDrop
from pipeline.response import PageDrop
from pipeline.sandbox import Killed, Limits, Sandbox

QUICK = [pytest.param(fear, id=name) for name, fear in FEARS.items() if not fear.slow]
SLOW = [pytest.param(fear, id=name) for name, fear in FEARS.items() if fear.slow]


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    made = Sandbox("pipeline.documents.page:document", {"language": "en"}, workers=1, limits=Limits(cpu_s=5))
    yield made
    made.close()


def ending(box: Sandbox, fear: Fear) -> str:
    answer = box.answer({}, record(fear.body(), fear.headers))
    if isinstance(answer, Killed):
        return f"EXTRACT_{answer.reason}"
    if "drop" in answer:
        return answer["drop"][0]
    assert "number" in answer["text"] or "entry 1" in answer["text"]
    assert "root:" not in answer["text"]  # of /etc/passwd
    answer["text"].encode()  # no lone surrogates
    assert "\0" not in answer["text"]
    return ""


@pytest.mark.parametrize("fear", QUICK)
def test_a_page_to_fear_ends_as_it_should(box: Sandbox, fear: Fear) -> None:
    assert ending(box, fear) in fear.outcomes


@pytest.mark.slow
@pytest.mark.parametrize("fear", SLOW)
def test_a_page_that_costs_time_or_memory_ends_as_it_should(box: Sandbox, fear: Fear) -> None:
    assert ending(box, fear) in fear.outcomes


def test_every_reason_of_the_list_has_a_sentence() -> None:
    reasons = {reason for fear in FEARS.values() for reason in fear.outcomes if reason}
    assert reasons <= set(DocumentDrop.__members__) | set(PageDrop.__members__)
