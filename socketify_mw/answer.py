"""Answer: what middleware and controllers return, as an answer."""

from typing import Any

from .response import Response


def is_answer(result: object) -> bool:
    """Whether something that was returned is an answer that is still to be sent."""
    return isinstance(result, (str, bytes, dict, list, tuple, bytearray, memoryview))


def answer_with(res: Response, result: Any) -> None:
    """Send what was returned: text, bytes, JSON, or a pair of body and status."""
    if isinstance(result, tuple):
        if len(result) != 2:
            raise TypeError(
                f"{result!r} is not a pair of body and status; headers are set by "
                "response.header(name, value)"
            )
        result, status = result
        res.write_status(status)
    res.end(result)
