"""The whole system on one machine, for `make run` and for the end-to-end tests."""

from local_stack.errors import StackError
from local_stack.opening import Rewire, running_stack
from local_stack.stack import Stack

__all__ = ["Rewire", "Stack", "StackError", "running_stack"]
