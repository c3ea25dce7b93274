"""How old a submission was when its score was read: a score that was read at once is no vote.

Dumps of October 2023 were read as the posts arrived, with a mean score of 1.00: a karma threshold keeps next to nothing of
them.  Later dumps look twice, after 36 hours; earlier ones waited weeks or years (docs/links.md).
"""

from collections import Counter

from pipeline.schema import PipelineError, Submission

SETTLED_H = 24  # most votes fall on the first day; dumps that look twice wait 36 hours


class ScoreAgeError(PipelineError):
    """A dump whose scores were read before the votes were in."""


def score_age_h(submission: Submission) -> int | None:
    """Whole hours between the post and the reading of its score; None if the record does not say."""
    if submission.retrieved_utc is None:
        return None
    return (submission.retrieved_utc - submission.created_utc) // 3600


def median_h(ages: Counter[int]) -> float | None:
    """The median of counted hours, exact; of an even number the mean of the two in the middle."""
    total = ages.total()
    if not total:
        return None
    below, found = 0, []
    for hours in sorted(ages):
        for middle in ((total - 1) // 2, total // 2):
            if below <= middle < below + ages[hours]:
                found.append(hours)
        below += ages[hours]
    return sum(found) / len(found)


def score_age_warning(median: float | None, *, name: str, min_score_age_h: float | None = None) -> str | None:
    """What to tell the person of a dump's median score age; None if nothing.  Raises ScoreAgeError below `min_score_age_h`."""
    if median is None:
        return None
    if min_score_age_h is not None and median < min_score_age_h:
        raise ScoreAgeError(
            f"{name}: scores were read {median:g} hours after posting (median), --min-score-age asks for {min_score_age_h:g}."
            " Use a dump that was read later, or lower --min-score-age."
        )
    if median < SETTLED_H:
        return (
            f"{name}: scores were read {median:g} hours after posting (median), before most votes were in:"
            " a karma threshold drops nearly everything"
        )
    return None
