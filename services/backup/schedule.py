"""When the next backup is due: pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from services.backup.ledger import State
from services.calendar import WIB

DAY = timedelta(days=1)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
"""After an attempt that failed; each further one doubles it."""
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_HOURS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4})?")


@dataclass(frozen=True, slots=True)
class Schedule:
    """A backup each so many hours from the beginning of the one before, or daily at a time of western Indonesia."""

    every: timedelta
    daily_at: time | None = None

    @classmethod
    def read(cls, text: str) -> Schedule:
        """`6`, `0.5` (hours), or `01:30`. Raises ValueError."""
        if found := _TIME.fullmatch(text):
            return cls(DAY, time(int(found[1]), int(found[2]), tzinfo=WIB))
        if _HOURS.fullmatch(text) and float(text) > 0:
            return cls(timedelta(hours=float(text)))
        raise ValueError("neither a number of hours (24, 0.5) nor a time of day (01:30, WIB)")

    def after(self, moment: datetime) -> datetime:
        """The first one due after a backup that began then."""
        if self.daily_at is None:
            return moment + self.every
        here = moment.astimezone(WIB)
        at = datetime.combine(here.date(), self.daily_at)
        return at if at > here else at + DAY


def due_at(schedule: Schedule, state: State) -> datetime:
    """When the next is to be made: at once if there was none; after failures, once their pause is over."""
    due = state.now if state.last_success_at is None else schedule.after(state.last_success_at)
    if state.failures and state.last_failed_at is not None:
        due = max(due, state.last_failed_at + pause(state.failures))
    return due


def pause(failures: int) -> timedelta:
    """Before the next attempt, after so many that failed one after the other."""
    return min(FIRST_PAUSE * (1 << min(failures - 1, 10)), LONGEST_PAUSE)
