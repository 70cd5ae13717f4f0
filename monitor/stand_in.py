"""What takes the place of a callable object: a call of it is observed, anything else is asked of the object itself.

A wrapping function would have none of the object's attributes (``task.delay``, ``cached.cache_clear``), and would be
bound as a method where the object is not.
"""

from collections.abc import Callable
from types import MethodType
from typing import Any, Final

_WRAPPED: Final = "__wrapped__"


class StandIn:
    """Stands for a callable object. `of` makes one."""

    def __init__(self, wrapped: object) -> None:
        object.__setattr__(self, _WRAPPED, wrapped)

    def __getattr__(self, name: str) -> Any:
        if name == _WRAPPED:  # a copy that is being made has none yet
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.__wrapped__, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__wrapped__, name)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)


def _bound(self: StandIn, instance: object, _owner: type | None = None) -> object:
    return self if instance is None else MethodType(self, instance)  # type: ignore[arg-type]  # `of` made it callable


def of(wrapped: object, observed: Callable[..., Any]) -> StandIn:
    """A stand-in for ``wrapped`` that ``observed`` is called for. It is bound as a method if ``wrapped`` would be."""
    body: dict[str, Any] = {"__call__": staticmethod(observed), "__doc__": type(wrapped).__doc__}
    if hasattr(type(wrapped), "__get__"):
        body["__get__"] = _bound
    kind: type[StandIn] = type(type(wrapped).__name__, (StandIn,), body)
    return kind(wrapped)
