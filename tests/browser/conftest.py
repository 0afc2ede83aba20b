"""A Chromium of the machine's own in front of a running stack."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

from local_stack import Stack, running_stack
from testkit.secrecy import SECRET_SETTINGS, with_secret_key

# Where it is. Who sets it wants these tests: without a program there they fail instead of being left out.
GIVEN = os.environ.get("CHROMIUM", "")
CHROMIUM = (
    shutil.which(GIVEN)
    or GIVEN
    or shutil.which("chromium")
    or shutil.which("chromium-browser")
    or shutil.which("google-chrome")
)

OpenPage = Callable[..., Awaitable[Page]]

_SETTINGS = {
    "EMULATOR_TTFT_SECONDS": "0.1",
    "EMULATOR_TOKENS_PER_SECOND": "400",
    "REQUESTS_PER_MINUTE_PER_USER": "0",
}


def pytest_itemcollected(item: pytest.Item) -> None:
    """They want a browser or packages, which `make test` does without."""
    item.add_marker("full")
    if CHROMIUM is None and "open_page" in getattr(item, "fixturenames", ()):
        reason = "needs a Chromium: apt-get install chromium, or CHROMIUM=/path/to/chromium"
        item.add_marker(pytest.mark.skip(reason=f"the browser tests are left out: {reason}"))


@pytest.fixture(scope="session")
async def stack(server_folder: Callable[[str], Path]) -> AsyncIterator[Stack]:
    """Two gateways; a test that breaks one of them leaves it running."""
    async with running_stack(
        server_folder("browser"), {**_SETTINGS, **SECRET_SETTINGS}, gateways=2, rewire=with_secret_key(None)
    ) as running:
        yield running


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Headless."""
    async with async_playwright() as playwright:
        # Chromium's own sandbox needs rights that a container does not have; it sees nothing but this stack.
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        await opened.close()


@pytest.fixture
async def open_page(browser: Browser, stack: Stack) -> AsyncIterator[OpenPage]:
    """`await open_page()` is the page for somebody new; options are those of a browser context.

    What its scripts throw, and what its policy forbids, fails the test.
    """
    faults: list[str] = []
    async with AsyncExitStack() as opened:

        async def make(path: str = "/", base: str = "", **options: Any) -> Page:
            context = await browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
            opened.push_async_callback(context.close)
            page = await context.new_page()
            page.set_default_timeout(20_000)
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on(
                "console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None
            )
            await page.goto((base or stack.gateway) + path)
            return page

        yield make
    assert faults == []
