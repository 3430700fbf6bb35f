"""Built-in middleware classes, and what belongs to them."""

from ..layer import Middleware
from .csrf import VerifyCsrfToken, csrf_field, csrf_token
from .encrypt_cookies import EncryptCookies
from .hashids import HashIDMiddleware, hashid
from .session import SessionMiddleware
from .throttle import ThrottleMiddleware

__all__ = [
    "EncryptCookies",
    "HashIDMiddleware",
    "Middleware",
    "SessionMiddleware",
    "ThrottleMiddleware",
    "VerifyCsrfToken",
    "csrf_field",
    "csrf_token",
    "hashid",
]
