"""A crawl that could not be polite does not start."""

import pytest

from pipeline.fetch.config import FetchConfig, FetchConfigError
from pipeline.fetch.progress import Progress


@pytest.mark.parametrize("contact", ["", "nobody", "a@b\r\nX-Injected: 1", "ä@example.org"])
def test_a_crawl_needs_an_address_for_complaints(contact):
    with pytest.raises(FetchConfigError, match="--contact"):
        FetchConfig(contact=contact)


@pytest.mark.parametrize(
    "bad",
    [{"delay_s": 0.0}, {"delay_s": 0.99}, {"threads": 0}, {"deadline_s": 0}, {"idle_timeout_s": -1}, {"max_attempts": 0}],
)
def test_impolite_settings_are_refused(bad):
    with pytest.raises(FetchConfigError):
        FetchConfig(contact="me@example.org", **bad)


def test_a_wrong_private_place_is_refused():
    with pytest.raises(FetchConfigError, match="--allow-private"):
        FetchConfig(contact="me@example.org", allow_private=("not a place",))


def test_the_user_agent_names_us_and_the_contact():
    agent = FetchConfig(contact="https://example.org/bot").user_agent
    assert agent.startswith("webtext/")
    assert agent.endswith(" (+https://example.org/bot)")


def test_progress_is_one_line():
    progress = Progress()
    progress.want(10)
    progress.link(page=True)
    progress.link(page=False)
    line = progress.line(hosts=3)
    assert line.startswith("2 of 10 links, 1 pages, ")
    assert "3 hosts" in line
    assert "\n" not in line
