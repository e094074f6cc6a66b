"""What visitors gave and got, under names that nobody guesses, in bounded memory."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from vitreous.errors import DataError

__all__ = ["Cache", "Gone"]

T = TypeVar("T")


class Gone(DataError):
    """What a visitor names is not held, or not any more."""


@dataclass
class Cache(Generic[T]):
    """The youngest things, as many as fit; each that is asked for is young again. Any thread may put and get.

    Attributes:
        what: they are, for messages.
        most: how many.
        most_bytes: of all together.

    >>> cache = Cache[str]("picture", most=1, most_bytes=100)
    >>> first, second = cache.put("a", 10), cache.put("b", 10)
    >>> cache.get(second)
    'b'
    """

    what: str
    most: int
    most_bytes: int
    _held: OrderedDict[str, tuple[T, int]] = field(default_factory=OrderedDict[str, tuple[T, int]])
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def put(self, thing: T, size: int) -> str:
        """Keep a thing of so many bytes; its name is returned."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._held[name] = thing, size
            while len(self._held) > self.most or (self.bytes > self.most_bytes and len(self._held) > 1):
                self._held.popitem(last=False)
        return name

    def get(self, name: str) -> T:
        """The thing of that name.

        Raises:
            Gone: it is not held.
        """
        with self._lock:
            if name not in self._held:
                raise Gone(f"this {self.what} is not held any more. Give the picture again.")
            self._held.move_to_end(name)
            return self._held[name][0]

    def find(self, name: str) -> T | None:
        """The thing of that name, or nothing where it is not held."""
        try:
            return self.get(name)
        except Gone:
            return None

    @property
    def bytes(self) -> int:
        """Of all that is held."""
        with self._lock:
            return sum(size for _, size in self._held.values())
