"""Limits: what a client may take, of memory and of time."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an app lets a client take. Sizes are bytes, times are seconds.

    A head or a body over its limit is refused with the status in brackets, and so is
    a request that takes too long; the connection closes then. None means no limit.
    """

    max_line: int = 8 * 1024
    """Method, target and version (414); at most 64 KiB."""
    max_head: int = 16 * 1024
    """The line and all header fields (431); at most 64 KiB."""
    max_fields: int = 100
    """Header fields (431); at most 100."""
    max_body: int | None = 16 * 1024 * 1024
    """A request's body (413). A route may have its own: `app.post(..., max_body=)`."""
    max_inputs: int | None = 1024 * 1024
    """A form or JSON that is read for `request.input`, as for each route of a kernel
    (413). What `res.get_json` and its kin read may have `max_body`."""
    max_connections: int | None = None
    """Open at once. Idle ones make room; else new ones wait to be accepted."""
    head_timeout: float | None = 10.0
    """From a head's first byte to its last (408)."""
    body_timeout: float | None = 60.0
    """Without a byte of a body that a handler reads (408)."""
    idle_timeout: float | None = 60.0
    """Between requests, and before the first."""
    send_timeout: float | None = 60.0
    """Without a byte of an answer taken by the client."""
    answer_timeout: float | None = None
    """From a request to its answer, and between the parts of that (503)."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and "None" in str(field.type):
                continue
            is_time = field.name.endswith("_timeout")
            if type(value) is not int and not (is_time and isinstance(value, float)):
                raise TypeError(f"{field.name}={value!r}: a number was expected")
            if not value > 0:
                raise ValueError(f"{field.name}={value!r} is not above 0")
            most = _MOST.get(field.name, 2**31 - 2)
            if is_time:
                most = (2**31 - 2) // 1000
            if value > most:
                raise ValueError(f"{field.name}={value!r} is over {most}")


_MOST = {
    "max_line": 64 * 1024,
    "max_head": 64 * 1024,
    "max_fields": 100,
    "max_body": 2**63 - 1,
    "max_inputs": 2**63 - 1,
}
