"""Which submissions a run looks at: dates and subreddits."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from pipeline.dump import SubmissionDrop
from pipeline.schema import Drop, PipelineError, Submission


@dataclass(frozen=True)
class Wanted:
    """Dates are days in UTC, both ends inclusive; subreddits are compared without regard to case, with or without `r/`."""

    since: str | None = None
    until: str | None = None  # 2017-12-31 is WebText's: Radford et al. 2019, section 2.1
    include_subreddits: tuple[str, ...] = ()  # none: all
    exclude_subreddits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self._first > self._last:
            raise PipelineError(f"--since {self.since} is after --until {self.until}. Swap them.")

    @cached_property
    def _first(self) -> int:
        return 0 if self.since is None else _midnight(self.since, "--since")

    @cached_property
    def _last(self) -> float:
        return float("inf") if self.until is None else _midnight(self.until, "--until", days=1) - 1

    @cached_property
    def _included(self) -> frozenset[str]:
        return frozenset(map(subreddit_name, self.include_subreddits))

    @cached_property
    def _excluded(self) -> frozenset[str]:
        return frozenset(map(subreddit_name, self.exclude_subreddits))

    def drop(self, submission: Submission) -> Drop | None:
        """Why this run does not look at a submission; None if it does."""
        reason = None
        if submission.created_utc < self._first:
            reason = SubmissionDrop.BEFORE_SINCE
        elif submission.created_utc > self._last:
            reason = SubmissionDrop.AFTER_UNTIL
        elif self._included and submission.subreddit.lower() not in self._included:
            reason = SubmissionDrop.SUBREDDIT_NOT_LISTED
        elif self._excluded and submission.subreddit.lower() in self._excluded:
            reason = SubmissionDrop.SUBREDDIT_EXCLUDED
        return None if reason is None else Drop(reason, f"submission={submission.id}")


def subreddit_name(text: str) -> str:
    """`/r/AskScience/` -> `askscience`."""
    return text.strip().strip("/").lower().removeprefix("r/")


def _midnight(day: str, flag: str, *, days: int = 0) -> int:
    """The second at which a day begins, or the day `days` later."""
    try:
        start = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC) + timedelta(days=days)
    except (ValueError, OverflowError):
        raise PipelineError(f"{flag} {day!r} is no date. Write it as 2017-12-31.") from None
    return int(start.timestamp())
