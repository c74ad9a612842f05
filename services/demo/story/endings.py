"""How a session ended, as the story tells it."""

from __future__ import annotations

from services.demo.stage import End, Stage
from services.messages import SessionCompleted, SessionFailed, SessionRefused


def code(end: End) -> str:
    """The code that it was refused with or failed by."""
    return end.problem.code if isinstance(end, SessionRefused | SessionFailed) else type(end).__name__


def findings(end: End) -> int:
    """How many findings it was refused with."""
    return len(end.findings) if isinstance(end, SessionRefused) else 0


def received(end: End) -> int:
    """How many records it received; -1 if it did not complete."""
    return end.received if isinstance(end, SessionCompleted) else -1


def show_receipt(stage: Stage, end: End) -> None:
    """Show what a sync's receipt says, and check that it completed."""
    if isinstance(end, SessionCompleted):
        receipt = end.receipt
        stage.say(
            f"bukti sinkron · receipt: sesi {receipt['session']}, seq {receipt['head_seq']}, {end.sent} dikirim, "
            f"{end.received} diterima, root {receipt['root'][:16]}…"
            + (f", {end.repaired} baris diperbaiki · rows mended" if end.repaired else "")
        )
        verdicts = ", ".join(f"{number} {name}" for name, number in end.verdicts.items())
        stage.check(
            f"selesai · completed: {verdicts or 'tidak ada perubahan · no changes'}", end.outcome == "completed"
        )
    else:
        stage.check(f"berakhir dengan · ended with {code(end)}", False)
