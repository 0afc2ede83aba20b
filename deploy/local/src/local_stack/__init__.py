"""The whole system on one machine, for `make run` and for the end-to-end tests."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local_stack.errors import StackError
    from local_stack.opening import running_stack
    from local_stack.stack import Stack

__all__ = ["Stack", "StackError", "running_stack"]

_HOMES = {"Stack": "stack", "StackError": "errors", "running_stack": "opening"}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: until `__main__` has run, Ctrl-C would end in a traceback."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
