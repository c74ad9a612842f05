"""How a command ends: its exit code, and one sentence for a person.

0 done · 1 a service failed (for ops) · 2 the command line is wrong · 3 refused, with reasons (for the operator)
4 no end in the time that was given; it goes on by itself · 5 not set up, or out of reach · 130 stopped by Ctrl-C
"""

from __future__ import annotations

DONE = 0
FAILED = 1
USAGE = 2
REFUSED = 3
UNFINISHED = 4
NOT_SET_UP = 5
INTERRUPTED = 130


class Stop(Exception):
    """End the command with this sentence and exit code; never a traceback."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


class NoAnswer(Exception):
    """Nothing came in time; the message says what may be going on and what to do."""
