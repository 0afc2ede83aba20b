"""docs/browser.md: each example does in a real browser what the page says."""

import re
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from playwright.async_api import Page, expect

from local_stack import Stack
from testkit import User
from testkit.npm import needs_node, packages_in

if TYPE_CHECKING:
    from tests.browser.conftest import OpenPage

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(r"```js\n(.*?)```", (ROOT / "docs" / "browser.md").read_text(), re.DOTALL)
FIVE_LINES, COMING_BACK, REACT, EVENTSOURCE = EXAMPLES

# What a page of the reader's own has: somebody, a plan, and a place to show it.
_BEFORE = """
window.shown = [];
const show = (plan, percent, event) => window.shown.push({ summary: plan?.monthly_summary ?? null, percent, event });
const userId = window.userId, planId = window.planId;
"""


async def _run(page: Page, example: str, **given: str) -> list[dict[str, object]]:
    """Run it as a module of the page; what it showed."""
    imports = "".join(line + "\n" for line in example.splitlines() if line.startswith("import"))
    rest = "\n".join(line for line in example.splitlines() if not line.startswith("import"))
    await page.evaluate("(given) => Object.assign(window, given)", {key: str(value) for key, value in given.items()})
    module = (
        f"{imports}{_BEFORE}\ntry {{ {rest}\nwindow.over = 'well'; }} catch (error) {{ window.over = String(error); }}"
    )
    await page.add_script_tag(content=module, type="module")
    await page.wait_for_function("window.over")
    assert await page.evaluate("window.over") == "well"
    shown: list[dict[str, object]] = await page.evaluate("window.shown")
    return shown


async def test_five_lines(open_page: "OpenPage") -> None:
    """A plan, from the inputs to its end, growing on the way."""
    shown = await _run(await open_page(bypass_csp=True), FIVE_LINES, userId=str(uuid4()))
    assert (shown[0]["event"], shown[-1]["event"], shown[-1]["percent"]) == ("connected", "complete", 100)
    lengths = [len(str(each["summary"] or "")) for each in shown]
    assert len(set(lengths)) > 10


async def test_coming_back(open_page: "OpenPage", stack: Stack) -> None:
    """A plan that somebody began is watched on."""
    async with User.at(stack.gateway) as user:
        plan_id = await user.start()
        shown = await _run(await open_page(bypass_csp=True), COMING_BACK, userId=str(user.id), planId=str(plan_id))
        assert shown[-1]["event"] == "complete"
        assert shown[-1]["summary"] == (await user.plan(plan_id))["plan"]["monthly_summary"]


async def test_eventsource(open_page: "OpenPage") -> None:
    """By the cookie of a session, without a header."""
    shown = await _run(await open_page(bypass_csp=True), EVENTSOURCE, userId=str(uuid4()))
    assert shown[-1] == {"summary": shown[-1]["summary"], "percent": 100, "event": "completed"}


@needs_node
async def test_react(open_page: "OpenPage", stack: Stack) -> None:
    """The hook in a component of the real React: it shows the plan as it grows, and its end."""
    packages = packages_in(ROOT / ".run" / "browser-packages", Path(__file__).parent / "node")
    page = await open_page(bypass_csp=True)
    for name in ("react", "react-dom"):
        await page.add_script_tag(path=packages / "node_modules" / name / "umd" / f"{name}.production.min.js")
    hook = REACT.replace('import { useEffect, useState } from "react";', "const { useEffect, useState } = React;")
    component = """
    const Shown = () => {
      const { plan, percent, status } = usePlan(window.planId, window.userId);
      return React.createElement("p", { id: "shown" }, `${status} ${percent} ${plan?.monthly_summary ?? ""}`);
    };
    document.body.innerHTML = '<div id="root"></div>';
    ReactDOM.createRoot(document.getElementById("root")).render(React.createElement(Shown));
    """
    async with User.at(stack.gateway) as user:
        plan_id = await user.start()
        given = {"userId": str(user.id), "planId": str(plan_id)}
        await page.evaluate("(given) => Object.assign(window, given)", given)
        await page.add_script_tag(content=hook + component, type="module")
        await expect(page.locator("#shown")).to_contain_text("completed 100", timeout=30_000)
        summary = (await user.plan(plan_id))["plan"]["monthly_summary"]
        await expect(page.locator("#shown")).to_have_text(f"completed 100 {summary}")


@pytest.mark.parametrize(
    "name", re.findall(r"\]\((pictures/[\w-]+\.png)\)", (ROOT / "docs" / "browser.md").read_text())
)
def test_pictures_are_there(name: str) -> None:
    """What the page shows; `PICTURES=docs/pictures` makes them anew."""
    assert (ROOT / "docs" / name).stat().st_size > 10_000
