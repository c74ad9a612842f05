"""Why private servers cannot run here: each message is one sentence that a person can act on."""

from __future__ import annotations


class ServersUnavailable(Exception):
    """The private servers cannot run; the message says why and what mends it."""


class MissingPart(ServersUnavailable):
    """Something is not installed or not permitted; the message names the command that mends it."""


class FolderRefused(ServersUnavailable):
    """The folder is in use by another process, or belongs to another user."""


class StartFailed(ServersUnavailable):
    """A server ended or did not answer in time; the message quotes its log and names the file."""
