"""HashIDMiddleware: ids in URLs that tell nothing, and that nobody can make up."""

import hashlib
import hmac
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..alias import nearest
from ..errors import ConfigError
from ..keys import application_key, derive
from ..services import require
from .options import Configurable, is_list_of_text

if TYPE_CHECKING:
    from ..app import App
    from ..request import Request
    from ..response import Response

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

# Bits of the proof that goes into each id: one in 16 million guesses is right.
_PROOF_BITS = 24

_MOST_CHARACTERS = 128  # of an id: what is longer is neither made nor decoded

_MOST = 2**63 - 1


class HashIDMiddleware(Configurable):
    """Decodes hashed ids in the URL's parameters; `hashid(10)` makes them.

    What is decoded is the number as text, several of them joined with ",".
    """

    __slots__ = ()

    salt: str = ""
    """Ids of one salt mean nothing under another one."""

    min_length: int = 8
    """The least number of characters that an id has."""

    inputs: Collection[str] = ()
    """Names of inputs (`request.input`) that are hashed ids, too; 400 for others."""

    @classmethod
    def prepare(cls, app: "App") -> "Codec":
        """Make what decodes; ConfigError if the key or the library is missing."""
        if not is_list_of_text(cls.inputs):
            raise ConfigError(f"inputs is a list of names, not {cls.inputs!r}")
        return Codec(application_key(), cls.salt, cls.min_length)

    @classmethod
    def check_url(cls, values: Collection[str], names: Collection[str]) -> None:
        """Refuse names of parameters that the URL does not have; ConfigError."""
        for name in values:
            if name not in names:
                raise ConfigError(
                    f"the URL has no parameter {name!r}{nearest(name, names)}"
                )

    def before(self, request: "Request", response: "Response", *names: str) -> Any:
        """Decode the parameters with these names; 404 for one that is no hashed id.

        Without names each parameter is decoded that is one, and others stay.
        """
        codec: Codec = request.app._services.prepare(type(self))
        route = request._route
        for name in names or route.parameters:
            value = request.get_parameter(name)
            if value is None or self._was_decoded(request, route, name):
                continue
            numbers = codec.decode(value)
            if numbers:
                request._set_parameter(name, _joined(numbers))
                self._note(request, route, name)
            elif names:
                return "Not Found", 404
        if not self.inputs:
            return request
        if request._awaits_inputs():
            return self._decode_later(request, response, codec)
        return self._decode_inputs(request, codec)

    async def _decode_later(
        self, request: "Request", response: "Response", codec: "Codec"
    ) -> Any:
        await request._load(response)
        return self._decode_inputs(request, codec)

    def _decode_inputs(self, request: "Request", codec: "Codec") -> Any:
        inputs = request._all_inputs()
        for name in self.inputs:
            if name in inputs and not self._was_decoded(request, None, name):
                numbers = codec.decode(inputs[name])
                if not numbers:
                    return "Bad Request", 400
                inputs[name] = _joined(numbers)
                self._note(request, None, name)
        return request

    # A chain may have this class twice, from a group and from its route: numbers that
    # it has put there itself are not taken for ids that are wrong.

    def _was_decoded(self, request: "Request", where: object, name: str) -> bool:
        found = getattr(request, "_decoded", ())
        return (where, name, self.salt, self.min_length) in found

    def _note(self, request: "Request", where: object, name: str) -> None:
        if not hasattr(request, "_decoded"):
            request._decoded = set()
        request._decoded.add((where, name, self.salt, self.min_length))


class Codec:
    """Numbers to text and back, for one key and one salt."""

    def __init__(self, key: bytes, salt: str, min_length: int) -> None:
        if not isinstance(salt, str):
            raise ConfigError(f"salt is text, not {salt!r}")
        if type(min_length) is not int or not 0 <= min_length <= _MOST_CHARACTERS:
            raise ConfigError(
                f"min_length is a number from 0 to {_MOST_CHARACTERS}, not "
                f"{min_length!r}"
            )
        self._key = derive(key, f"hashids {salt}")
        sqids = require("hashids", _library, "HashIDMiddleware")
        self._sqids = sqids(_shuffled(self._key), min_length)

    def encode(self, numbers: Sequence[int]) -> str:
        """Return the id of numbers from 0 to 2**63 - 1."""
        if not numbers:
            raise ValueError("an id is of at least one number")
        for it in numbers:
            if not isinstance(it, int) or isinstance(it, bool):
                raise TypeError(f"an id is of whole numbers, not of {it!r}")
            if not 0 <= it <= _MOST:
                raise ValueError(f"an id is of numbers from 0 to 2**63 - 1, not {it}")
        text: str = self._sqids.encode([*numbers, self._proof(numbers)])
        if len(text) > _MOST_CHARACTERS:
            raise ValueError(
                f"an id of {len(numbers)} numbers would be too long: it has "
                f"{_MOST_CHARACTERS} characters at most"
            )
        return text

    def decode(self, text: object) -> list[int]:
        """Return the numbers of an id; none if it was not made here."""
        if not isinstance(text, str) or not 0 < len(text) <= _MOST_CHARACTERS:
            return []
        *numbers, proof = self._sqids.decode(text) or [0]
        if not numbers or max(numbers) > _MOST or proof != self._proof(numbers):
            return []
        # The same numbers have other spellings, too, and an id is to have one.
        return numbers if self._sqids.encode([*numbers, proof]) == text else []

    def _proof(self, numbers: Sequence[int]) -> int:
        digest = hmac.digest(self._key, _joined(numbers).encode(), hashlib.sha256)
        return int.from_bytes(digest[: _PROOF_BITS // 8], "big")


def hashid(*numbers: int, salt: str = "", min_length: int = 8) -> str:
    """Return the hashed id of one number, or of several together.

    salt, min_length: as the middleware has them that is to decode it.
    """
    return _codec(application_key(), salt, min_length).encode(numbers)


@lru_cache
def _codec(key: bytes, salt: str, min_length: int) -> Codec:
    return Codec(key, salt, min_length)


def _library() -> Any:
    from sqids import Sqids

    return Sqids


def _joined(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def _shuffled(key: bytes) -> str:
    """Return the letters in an order that the key tells (Fisher and Yates)."""
    letters = list(_LETTERS)
    for i in range(len(letters) - 1, 0, -1):
        digest = hmac.digest(key, b"letter %d" % i, hashlib.sha256)
        j = int.from_bytes(digest, "big") % (i + 1)
        letters[i], letters[j] = letters[j], letters[i]
    return "".join(letters)
