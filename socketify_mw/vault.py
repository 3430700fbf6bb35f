"""Vault: text that only its own server can have written, for one name, for a time."""

import base64
import binascii
import hashlib
import os
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

# In front of each: the key's id and a nonce.
_ID_SIZE = 4
_NONCE_SIZE = 12
_TAG_SIZE = 16
_expiry = struct.Struct(">Q")  # seconds since the epoch

LONGEST = 3_200_000_000  # a hundred years: what is said to last for longer ends then


class Vault:
    """AES-256-GCM with a key of several: the first one seals, any of them opens.

    What is sealed is bound to a name and to a time, both of them authenticated: sealed
    text is of no use under another name, or later.
    """

    def __init__(
        self,
        cipher: Callable[[bytes], Any],
        keys: Sequence[bytes],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ciphers = {_id_of(key): cipher(key) for key in keys}
        self._sealing = _id_of(keys[0])
        self._clock = clock

    def seal(self, name: str, text: str, lifetime: float) -> str:
        """Return text that `open` returns as it was, for `lifetime` seconds."""
        nonce = os.urandom(_NONCE_SIZE)
        until = _expiry.pack(max(int(self._clock() + min(lifetime, LONGEST)), 0))
        cipher = self._ciphers[self._sealing]
        sealed = cipher.encrypt(nonce, until + text.encode(), name.encode())
        data = self._sealing + nonce + sealed
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def open(self, name: str, sealed: str) -> str | None:
        """Return what was sealed under a name; None if it was not, or is too old."""
        try:
            plain = sealed.encode("ascii")
            data = base64.b64decode(
                plain + b"=" * (-len(plain) % 4), b"-_", validate=True
            )
        except (UnicodeEncodeError, binascii.Error):
            return None
        cipher = self._ciphers.get(data[:_ID_SIZE])
        start = _ID_SIZE + _NONCE_SIZE
        if cipher is None or len(data) < start + _expiry.size + _TAG_SIZE:
            return None
        try:
            found = cipher.decrypt(data[_ID_SIZE:start], data[start:], name.encode())
        except Exception:  # the library's InvalidTag, which only the extra has
            return None
        (until,) = _expiry.unpack_from(found)
        if self._clock() >= until:
            return None
        text: str = found[_expiry.size :].decode()
        return text


def _id_of(key: bytes) -> bytes:
    return hashlib.sha256(b"id of " + key).digest()[:_ID_SIZE]
