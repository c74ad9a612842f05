"""Statements signed by central and checked by anybody: Ed25519, as compact JWS (RFC 7515, RFC 9864), by joserfc.

The algorithm is pinned, the type too, and a key is found by its `kid` alone: `none`, a symmetric algorithm keyed with
the public key, a key set inside the header, a key that is not in the set are all refused. A private key set (a JWKS)
has the key that signs first; the older ones stay in it, so that what they signed still verifies.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from joserfc import jws
from joserfc.errors import BadSignatureError, DecodeError, JoseError
from joserfc.jwk import OKPKey

from services.exchange import canonical

ALGORITHM = "Ed25519"
"""RFC 9864's own name of it; the older `EdDSA` also means Ed448, and is not taken."""
TYPE = "selaras-statement"
"""So that nothing else these keys may ever sign passes for a statement."""

Reason = Literal["form", "header", "key", "signature", "content"]
"""No compact JWS; another algorithm, type or header; a key not in the set; not signed by it; not a canonical text."""


class NotProven(ValueError):
    """A statement whose signature proves nothing."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason)


class KeysUnusable(Exception):
    """A key file that cannot be used; the message is one sentence that says what to do."""


class PublicKeys:
    """The keys that statements are checked with, by their `kid`."""

    def __init__(self, keys: Sequence[OKPKey]) -> None:
        self._keys = {str(key.kid): key for key in keys}

    @classmethod
    def read(cls, file: Path) -> PublicKeys:
        """Those of a JWKS file; of a private one, its public halves. Raises KeysUnusable."""
        return cls([_public(key) for key in _keys(_read(file), file)])

    def knows(self, kid: str) -> bool:
        """Is there a key of this `kid`?"""
        return kid in self._keys

    def verify(self, token: str) -> dict[str, Any]:
        """The statement that central signed. Raises NotProven."""
        try:
            unverified = jws.extract_compact(token.encode())
            header = unverified.headers()
        except (JoseError, ValueError) as error:
            raise NotProven("form") from error
        if set(header) != {"alg", "kid", "typ"} or (header["alg"], header["typ"]) != (ALGORITHM, TYPE):
            raise NotProven("header")
        key = self._keys.get(header["kid"]) if isinstance(header["kid"], str) else None
        if key is None:
            raise NotProven("key")
        try:
            payload = jws.deserialize_compact(token, key, algorithms=[ALGORITHM]).payload
        except (BadSignatureError, DecodeError) as error:
            raise NotProven("signature") from error
        except (JoseError, ValueError) as error:
            raise NotProven("form") from error
        return _statement(payload)


class SigningKeys:
    """Central's private keys: the first one signs."""

    def __init__(self, keys: Sequence[OKPKey]) -> None:
        self._keys = list(keys)

    @classmethod
    def read(cls, file: Path) -> SigningKeys:
        """Those of a JWKS file that only its owner and group may read. Raises KeysUnusable."""
        keys = _keys(_read(file), file)
        if not all(key.is_private for key in keys):
            raise KeysUnusable(f"{file} holds public keys: central signs with the private ones (selaras keys new).")
        if file.stat().st_mode & 0o007:
            raise KeysUnusable(f"{file} can be read by everybody on this machine: chmod 600 {file}.")
        return cls(keys)

    @property
    def active(self) -> str:
        """The `kid` of the key that signs."""
        return str(self._keys[0].kid)

    @cached_property
    def public(self) -> PublicKeys:
        """What they are checked with."""
        return PublicKeys([_public(key) for key in self._keys])

    def sign(self, text: str) -> str:
        """The canonical text of a statement as a compact JWS."""
        header = {"alg": ALGORITHM, "kid": self.active, "typ": TYPE}
        return jws.serialize_compact(header, text.encode(), self._keys[0], algorithms=[ALGORITHM])


def unverified(token: str) -> dict[str, Any]:
    """What a JWS says, whoever signed it. Raises NotProven `form` or `content`."""
    try:
        return _statement(jws.extract_compact(token.encode()).payload)
    except (JoseError, ValueError) as error:
        raise NotProven(error.reason if isinstance(error, NotProven) else "form") from error


def new(file: Path) -> str:
    """Make a key set of one new key, readable by its owner alone; its `kid`. Raises KeysUnusable if the file is
    there.
    """
    key = _generate()
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise KeysUnusable(f"{file}: {error.strerror}.") from error
    with os.fdopen(descriptor, "w") as out:
        out.write(_document([key], private=True))
    return str(key.kid)


def rotate(file: Path) -> str:
    """Put a new active key before those that are there, in one step; its `kid`. Raises KeysUnusable."""
    key = _generate()
    keys = [key, *SigningKeys.read(file)._keys]
    descriptor, beside = tempfile.mkstemp(dir=file.parent, prefix=file.name)  # 0600
    with os.fdopen(descriptor, "w") as out:
        out.write(_document(keys, private=True))
        out.flush()
        os.fsync(out.fileno())
    Path(beside).replace(file)
    return str(key.kid)


def public_document(file: Path) -> str:
    """The public halves of a key set, as a JWKS. Raises KeysUnusable."""
    return _document(_keys(_read(file), file), private=False)


def _generate() -> OKPKey:
    return OKPKey.generate_key("Ed25519", {"use": "sig", "alg": ALGORITHM}, private=True, auto_kid=True)


def _public(key: OKPKey) -> OKPKey:
    return OKPKey.import_key(key.as_dict(private=False))


def _document(keys: Sequence[OKPKey], *, private: bool) -> str:
    return json.dumps({"keys": [key.as_dict(private=private) for key in keys]}, indent=2) + "\n"


def _read(file: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise KeysUnusable(f"{file}: {error.strerror}; `selaras keys new {file}` makes a key.") from error
    except (ValueError, RecursionError) as error:
        raise KeysUnusable(f"{file} is no key set (JWKS): {type(error).__name__}.") from error
    if not isinstance(document, dict):
        raise KeysUnusable(f"{file} is no key set (JWKS).")
    return document


def _keys(document: Mapping[str, Any], file: Path) -> list[OKPKey]:
    entries = document.get("keys")
    keys = [_key(entry) for entry in entries] if isinstance(entries, list) else []
    fit = [key for key in keys if key is not None and key.kid]
    if not keys or len(fit) != len(keys) or len({key.kid for key in fit}) != len(fit):
        raise KeysUnusable(f"{file} is to be a JWKS of Ed25519 keys, each with a `kid` of its own, and nothing else.")
    return fit


def _key(entry: Any) -> OKPKey | None:
    if not isinstance(entry, dict) or (entry.get("kty"), entry.get("crv")) != ("OKP", "Ed25519"):
        return None
    try:
        return OKPKey.import_key(entry)
    except (JoseError, ValueError, TypeError):
        return None


def _statement(payload: bytes) -> dict[str, Any]:
    try:
        text = payload.decode()
        if not canonical.is_canonical(text):
            raise NotProven("content")
        return canonical.decode(text)
    except UnicodeDecodeError as error:
        raise NotProven("content") from error
