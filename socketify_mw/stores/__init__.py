"""Stores: where middleware keeps what outlives a request.

One protocol, and three rooms for it: the memory of one process, a SQLite file that
several processes share, and Redis or Valkey for many machines.
"""

from ..errors import StoreError
from .memory import MemoryStore
from .opening import open_store
from .protocol import Hit, Store

__all__ = ["Hit", "MemoryStore", "Store", "StoreError", "open_store"]
