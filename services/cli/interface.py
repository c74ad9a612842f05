"""The interface, written down."""

from __future__ import annotations

from services.cli import show


def asyncapi() -> None:
    """Every message and channel as an AsyncAPI 3.0 document (JSON): `> asyncapi.json`."""
    from services.asyncapi import document

    show.as_json(document())
