"""Errors that users of the package may want to catch."""


class SocketifyError(Exception):
    """The base of every error that this package raises on its own account.

    status: of the answer when a handler lets it pass, and no error handler answers.
    """

    status = 500


class NativeError(SocketifyError):
    """The native core refused a call; `code` is its SMW_E* number."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class ConfigError(SocketifyError, ValueError):
    """An option cannot be used; the message names it and the cure."""


class RouteError(ConfigError):
    """A route cannot be registered; the message names the pattern and the cure."""


def raise_all(problems: list[str]) -> None:
    """Raise one RouteError that tells them all, if there are any."""
    if len(problems) == 1:
        raise RouteError(problems[0])
    if problems:
        lines = "\n".join(f"- {it}" for it in problems)
        raise RouteError(f"{len(problems)} things are wrong:\n{lines}")


class ClientGone(SocketifyError, ConnectionError):
    """The client has gone, or was refused, while something waited for it."""


class RequestExpired(SocketifyError, RuntimeError):
    """A request was read after the turn that brought it, without `preserve()`."""


class BadRequest(SocketifyError, ValueError):
    """The client has sent something that cannot be read; the answer is 400."""

    status = 400


class ContentTooLarge(BadRequest):
    """The body is larger than it may be; the answer is 413."""

    status = 413


class StoreError(SocketifyError):
    """A store did not answer, or not in time; the answer is 503."""

    status = 503


class StoreBusy(StoreError):
    """A store answers, but has so much to do that a call was not begun in time."""
