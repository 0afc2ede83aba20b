"""The fixture that opens a stack of a test's own."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from local_stack import Stack
from local_stack.opening import Rewire


class OpenStack(Protocol):
    """`async with open_stack(env={...}, generators=2, gateways=2) as stack:`; `rewire` puts proxies in between."""

    def __call__(
        self, env: Mapping[str, str] = ..., *, generators: int = 1, gateways: int = 1, rewire: Rewire | None = None
    ) -> AbstractAsyncContextManager[Stack]: ...
