"""Built-in middleware classes."""

from ..layer import Middleware

__all__ = ["Middleware"]
