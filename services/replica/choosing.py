"""Which decisions of conflicts hold, and what is kept of a conflict that ended by a person's hand: pure.

A decision names one field in conflict, or `*` for a record that one side deleted; it is for *mine*, what stands here,
or for *central*. Decisions of one record apply in order. Typing a new value decides too: `settled` sees no difference.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from services.entities import SPECS
from services.exchange import canonical
from services.exchange.absorb import NoConflict, Overruled, Replicated, decide
from services.exchange.change import WHOLE
from services.exchange.merge import refuses_delete
from services.messages import DecidedConflict, Problem
from services.problems import problem
from services.replica.deciding import SHOWN_NAME_LENGTH, Decision
from services.replica.records import NOTHING, Key

How = Literal["overruled", "decided mine", "decided central"]
"""How a row of the conflict log came about: central's value came over the operator's, or a person chose."""
CHOICES = ("mine", "central")


@dataclass(frozen=True, slots=True)
class Settled:
    """One conflict that a person ended: the two values (of `*`, the two records; null is deleted), and for whom."""

    values: Overruled
    how: How


def choose(
    decisions: Sequence[DecidedConflict], held: Mapping[Key, Replicated], unanswered: Container[Key] = ()
) -> Decision:
    """What becomes of an event's decisions. `held`: the records that they name, as far as those exist. `unanswered`:
    those that a central which was put back has not answered about; nobody knows what its value is.
    """
    after: dict[Key, Replicated] = {}
    rejected: dict[int, list[Problem]] = {}
    for index, decision in enumerate(decisions):
        key = (decision.entity, decision.record_id)
        record = after.get(key, held.get(key, NOTHING))
        try:
            decided = decide(record, decision.field, decision.choice)
        except NoConflict:
            rejected[index] = [problem("UBAH-13", field=decision.field[:SHOWN_NAME_LENGTH])]
            continue
        if decision.choice not in choices(decision.entity, record, decision.field):
            spec = SPECS[decision.entity]
            rejected[index] = [problem("UBAH-14", field=WHOLE, entity=spec.label, channel=spec.channel)]
            continue
        if decision.choice == "central" and key in unanswered:
            rejected[index] = [problem("UBAH-16")]
            continue
        after[key] = decided
    return Decision(
        records=after,
        stored=[index for index in range(len(decisions)) if index not in rejected],
        rejected=rejected,
    )


def choices(entity: str, record: Replicated, field: str) -> tuple[str, ...]:
    """What may be chosen: no *mine* where that is a delete which central would refuse."""
    spec = SPECS.get(entity)
    if field == WHOLE and record.data is None and (spec is None or refuses_delete(spec, record.base.fields)):
        return ("central",)
    return CHOICES


def settled(before: Replicated, after: Replicated) -> Iterator[Settled]:
    """The conflicts that an operator's event ended, whether it decided or typed."""
    if before.conflict is None:
        return
    left = after.conflict.fields if after.conflict else frozenset()
    for field in sorted({WHOLE} if before.conflict.whole else before.conflict.fields):
        if field in left:
            continue
        mine, theirs, now = (_value(one, field) for one in (before.data, before.base.fields, after.data))
        if canonical.same(now, theirs):
            yield Settled(Overruled(field, mine, theirs), "decided central")
        else:
            yield Settled(Overruled(field, now, theirs), "decided mine")


def _value(fields: Mapping[str, canonical.Json] | None, field: str) -> canonical.Json:
    if field == WHOLE:
        return None if fields is None else dict(fields)
    return (fields or {}).get(field)
