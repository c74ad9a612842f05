"""AMQP over TLS: is the broker the one that it should be? Said in one sentence, before anything is sent.

An address `amqps://…/?cafile=/path/ca.pem` names the CA that the broker's certificate must be signed by; without
`cafile` those of the machine count.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

PORT = 5671
ANSWER_SECONDS = 5.0


def ca_file(url: str) -> Path | None:
    """The CA that an address names."""
    named = parse_qs(urlsplit(url).query).get("cafile")
    return Path(named[0]) if named else None


def unusable(url: str) -> str | None:
    """What is wrong with the file of the CA, if anything is."""
    file = ca_file(url)
    if file is None:
        return None
    try:
        ssl.create_default_context(cafile=str(file))
    except OSError as error:
        why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        return f"The CA of the broker's certificate cannot be used: {file}: {why}."
    return None


async def trouble(url: str) -> str | None:
    """Why this broker's certificate is not to be trusted; None if it is, or if nothing answers.

    Comes before a connection that waits patiently: it would go on trying, without a word.
    """
    parts = urlsplit(url)
    if parts.scheme != "amqps":
        return None
    if wrong := unusable(url):
        return wrong
    file = ca_file(url)
    context = ssl.create_default_context(cafile=str(file) if file else None)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or PORT, ssl=context)
    except ssl.SSLCertVerificationError as error:
        return sentence(url, error)
    except (OSError, TimeoutError):
        return None
    writer.close()
    return None


def sentence(url: str, error: ssl.SSLCertVerificationError) -> str:
    """A certificate that does not convince."""
    file = ca_file(url)
    by = f"the CA of {file}" if file else "a CA of this machine (cafile=… in the address names another)"
    return (
        f"The broker at {_place(urlsplit(url))} does not prove that it is the right one by {by}: "
        f"{error.verify_message or 'certificate verify failed'}. Nothing was sent to it."
    )


def cause(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """The certificate's trouble behind what a client raised, if that was it."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, ssl.SSLCertVerificationError):
        seen = seen.__cause__ or seen.__context__
    return seen


def _place(parts: SplitResult) -> str:
    return f"{parts.hostname}:{parts.port or PORT}"
