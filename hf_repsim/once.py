"""What is made when it is first asked for, and once, also by several threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def once(make: Callable[[Any], Any]) -> property:
    """A value of an object, made when first asked for; of several threads one makes it.

    Unlike `functools.cached_property`, whose lock before Python 3.12 is that of all objects and
    since then is none, this holds the object's own `lock`.
    """

    def get(self: Any) -> Any:
        with self.lock:
            if make.__name__ not in self.__dict__:
                self.__dict__[make.__name__] = make(self)
        return self.__dict__[make.__name__]

    return property(get, doc=make.__doc__)


def made_by(holder: Any, make: Callable[[Any], T], of: Any) -> T:
    """What `make` makes of an object, once, kept in `made` of a holder that has a `lock`."""
    with holder.lock:
        if make not in holder.made:
            holder.made[make] = make(of)
        return holder.made[make]
