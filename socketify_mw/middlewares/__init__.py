"""Built-in middleware classes, and what belongs to them."""

from ..layer import Middleware
from .csrf import VerifyCsrfToken, csrf_field, csrf_token
from .encrypt_cookies import EncryptCookies
from .hashids import HashIDMiddleware, hashid
from .session import SessionMiddleware

__all__ = [
    "EncryptCookies",
    "HashIDMiddleware",
    "Middleware",
    "SessionMiddleware",
    "VerifyCsrfToken",
    "csrf_field",
    "csrf_token",
    "hashid",
]
