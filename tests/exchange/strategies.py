"""Records, changes and what either side holds, for the properties: few values, so that they meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from services.entities.schema import Fields
from services.exchange.absorb import Base, Replicated, Sent
from services.exchange.change import Change
from services.exchange.merge import Held

from .builders import CONFIRMED

values = st.sampled_from([None, "x", "y", "z"])
NAMES = ("nisn", "alamat", "hobi", "no_kk", "nik", "asing")
"""`asing` is a field this release does not know."""


@st.composite
def records(draw: st.DrawFn) -> Fields:
    """A live record; confirmed at times."""
    fields: dict[str, Any] = {name: draw(values) for name in NAMES}
    fields[CONFIRMED] = draw(st.sampled_from([None, None, False, True]))
    return {name: value for name, value in fields.items() if value is not None}


maybe_records = st.none() | records()


@st.composite
def helds(draw: st.DrawFn) -> Held | None:
    """What central may hold: nothing, a live record, a tombstone."""
    if draw(st.integers(0, 4)) == 0:
        return None
    fields = draw(maybe_records)
    return Held(draw(st.integers(1, 4)), fields, draw(records()) if fields is None else fields)


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """Anything a site may push, honest or not."""
    version = draw(st.integers(0, 5))
    if draw(st.integers(0, 4)) == 0:
        return Change("murid", "1", "delete", version)
    names = draw(st.sets(st.sampled_from([*NAMES, CONFIRMED])))
    return Change("murid", "1", "put", version, {name: (draw(values), draw(values)) for name in names})


@st.composite
def replicas(draw: st.DrawFn) -> Replicated:
    """Any copies a site may hold of one record, not in conflict."""
    version = draw(st.integers(0, 4))
    base = Base(version, version, draw(maybe_records) if version else None)
    sent = draw(st.none() | maybe_records.map(Sent))
    return Replicated(base, draw(maybe_records | st.just(base.fields)), sent)


@st.composite
def bases(draw: st.DrawFn) -> Base:
    """What central may say that it holds."""
    version = draw(st.integers(0, 6))
    return Base(version, version, draw(maybe_records) if version else None)
