"""Inputs: what a client has sent in the query and in a body, by name."""

import re
from binascii import a2b_qp
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from .errors import BadRequest

# Of a form or a query: more would cost more than they are worth.
_MOST_FIELDS = 1000

# Patterns are compiled where they are used for the first time, not at each start.

# "%" that begins no escape. Browsers send none, so that these are few.
_STRAY = rb"%(?![0-9A-Fa-f]{2})"
_MOST_STRAYS = 1000

# Percent-encoding with the sign of quoted-printable.
_SIGN = bytes.maketrans(b"%+", b"= ")

# An escape of half a surrogate pair, or of a whole one.
_HALF = rb"\\u[dD][89a-fA-F]"

FORM = "application/x-www-form-urlencoded"


def decoded(body: bytes, encoding: str) -> str:
    """Return a body as text; BadRequest when it is not in that encoding."""
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadRequest(f"the request's body cannot be decoded: {error}") from error


def parse_form(body: bytes, encoding: str = "utf-8") -> dict[str, list[str]]:
    """Return the fields of an urlencoded form, each with its values.

    "+" is a space. Bytes that are not in that encoding become U+FFFD where they are
    written as escapes, and raise BadRequest where they are not.
    """
    text = decoded(body, encoding)
    if text.count("&") >= _MOST_FIELDS:
        raise BadRequest(
            f"the request's form cannot be read: it has over {_MOST_FIELDS:,} fields"
        )
    if encoding.lower() not in ("utf-8", "utf8"):
        return parse_qs(text, True, encoding=encoding, errors="replace")
    found: dict[str, list[str]] = {}
    for field in body.split(b"&"):
        if field:
            name, _, value = field.partition(b"=")
            found.setdefault(_unescaped(name), []).append(_unescaped(value))
    return found


def _unescaped(data: bytes) -> str:
    """Return what a name or a value stands for, in a time that its size bounds.

    urllib's `unquote` makes an object for each escape: a form of 16 MiB without
    anything else would take it seconds and a gigabyte.
    """
    if b"%" in data:
        data, count = re.subn(_STRAY, b"%25", data, count=_MOST_STRAYS)
        if count == _MOST_STRAYS:
            raise BadRequest(
                'the request\'s form cannot be read: it has many "%" that begin no '
                "escape"
            )
        data = a2b_qp(data.replace(b"=", b"%3D").translate(_SIGN))
    else:
        data = data.replace(b"+", b" ")
    return data.decode("utf-8", "replace")


def parse_json(body: bytes, serializer: Any) -> Any:
    """Return what a JSON text says; BadRequest when it is none."""
    try:
        value = serializer.loads(body)
        if re.search(_HALF, body):
            # Half of a pair is no text: it could not be answered, or stored.
            import json

            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise BadRequest(f"the request's body is no JSON: {error}") from error
    return value


def media_type(content_type: str | None) -> str:
    """Return the type of a body without its parameters, in lower case."""
    return (content_type or "").partition(";")[0].strip().lower()


def is_json(kind: str) -> bool:
    """Whether a media type is JSON (RFC 6839 3.1)."""
    return kind == "application/json" or kind.endswith("+json")


def is_readable(kind: str) -> bool:
    """Whether a body of a media type has inputs."""
    return kind == FORM or is_json(kind)


def inputs_of(
    query: Mapping[str, list[str]], kind: str, body: bytes, serializer: Any
) -> dict[str, Any]:
    """Return all inputs: those of the body count where the query has them, too.

    A name with one value has that, with several the list. JSON that is no object has
    none.
    """
    found: dict[str, Any] = _by_name(query)
    if kind == FORM:
        found.update(_by_name(parse_form(body)))
    elif is_json(kind) and body:
        value = parse_json(body, serializer)
        if isinstance(value, dict):
            found.update(value)
    return found


def find(inputs: Mapping[str, Any], name: str, default: Any) -> Any:
    """Return an input; `user.name` is found within `user`, too."""
    if name in inputs:
        return inputs[name]
    value: Any = inputs
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value


def _by_name(fields: Mapping[str, list[str]]) -> dict[str, Any]:
    return {
        name: values[0] if len(values) == 1 else values
        for name, values in fields.items()
    }
