"""How a command ends: its exit code, and one sentence for a person."""

from __future__ import annotations

from collections.abc import Mapping

DONE = 0
FAILED = 1
USAGE = 2
REFUSED = 3
UNFINISHED = 4
NOT_SET_UP = 5
INTERRUPTED = 130

MEANINGS: Mapping[int, tuple[str, str, str, str]] = {
    DONE: ("selesai", "done", "", "nobody"),
    FAILED: (
        "layanan gagal, atau Selaras sendiri",
        "a service failed, or Selaras itself",
        "`SELARAS_TRACEBACK=1` shows where; `audit` and `officer audit` end so when something was not as it should be",
        "ops",
    ),
    USAGE: (
        "baris perintah atau berkas tidak benar",
        "the command line or a file is not what it should be",
        "",
        "whoever typed it",
    ),
    REFUSED: (
        "ditolak, dengan alasan",
        "refused, with reasons",
        "`validate` ends so while something is invalid, `publish` when a change was rejected, `receipt verify` when a "
        "receipt proves nothing",
        "operator, principal or officer",
    ),
    UNFINISHED: (
        "belum selesai dalam waktu yang diberikan",
        "no end in the time that was given",
        "it goes on by itself; `status` and `history` show how it ends",
        "nobody",
    ),
    NOT_SET_UP: (
        "belum disiapkan, atau tidak terjangkau",
        "not set up, or out of reach",
        "a setting is missing, the broker or a database does not answer or does not let this user in, the school is "
        "not registered here; `config check` says which",
        "ops",
    ),
    INTERRUPTED: (
        "dihentikan dengan Ctrl-C",
        "stopped by Ctrl-C",
        "what was asked for goes on by itself",
        "nobody",
    ),
}
"""Of each exit code: its meaning in Indonesian and in English, more about it, and who acts."""


class Stop(Exception):
    """End the command with this sentence and exit code; never a traceback."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


class NoAnswer(Exception):
    """Nothing came in time; the message says what may be going on and what to do."""
