"""The reference page in a real browser: a person writes, watches, stops, comes back, and tries again."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from playwright.async_api import Page, expect

from common.contracts.plan import validate_plan
from local_stack import Stack
from testkit import User
from testkit.npm import needs_node, packages_in
from testkit.proxy import Proxy
from testkit.upstream import Upstream
from testkit.upstream_cases import Calls, always, once

if TYPE_CHECKING:
    from tests.browser.conftest import OpenPage

# `PICTURES=docs/pictures` makes those of the documents anew.
PICTURES = Path(os.environ.get("PICTURES") or Path(__file__).parents[2] / ".run" / "pictures")
PACKAGES = Path(__file__).parents[2] / ".run" / "browser-packages"
SLOW = {"tokens_per_second": 60}


@pytest.fixture
async def upstream(stack: Stack) -> AsyncIterator[Upstream]:
    """The model, with a script for each plan's goals."""
    async with Upstream.of(stack) as made:
        yield made


async def _write(page: Page, goals: str | None = None) -> None:
    if goals is not None:
        await page.get_by_label("What do you want to reach?").fill(goals)
    await page.get_by_role("button", name="Write the plan").click()


async def _scripted(stack: Stack, upstream: Upstream, page: Page, script: tuple[Calls, ...]) -> str:
    """Goals for which the model follows a script; `User` is only there because scripts are made for somebody's."""
    async with User.at(stack.gateway) as user:
        body = await upstream.scripted(user, script)
        answer = await user.get(f"/api/plan/inputs/{body['preferenceId']}")
    goals = answer["goals"]
    return goals if isinstance(goals, str) else "\n".join(goals)


def _plan_id(page: Page) -> UUID:
    found = re.search(r"plan=([0-9a-f-]{36})", page.url)
    assert found, page.url
    return UUID(found[1])


async def _stored(page: Page, plan_id: UUID) -> dict[str, object]:
    script = """async (id) => (await fetch(`/api/plan/plans/${id}`,
        {headers: {"X-User-Id": localStorage.getItem("userId")}})).json()"""
    stored: dict[str, object] = await page.evaluate(script, str(plan_id))
    return stored


async def _shown(page: Page) -> tuple[str, list[str]]:
    return await page.locator("#summary").inner_text(), await page.locator(".week-head h3").all_inner_texts()


async def _done(page: Page) -> None:
    await expect(page.locator("#phase")).to_have_text("Done", timeout=30_000)


async def test_from_the_form_to_the_plan(open_page: "OpenPage", stack: Stack) -> None:
    """It grows before one's eyes, ends complete and as it is stored; the quota and the shelf know of it."""
    page = await open_page()
    await expect(page.locator("#quota")).to_have_text("30 of 30 plans left")
    await _write(page)
    lengths = []
    await expect(page.locator("#summary")).to_be_visible()
    for _ in range(4):
        lengths.append(len(await page.locator("#plan").inner_text()))
        await asyncio.sleep(0.3)
    assert lengths == sorted(set(lengths)), lengths
    await expect(page.locator("#phase")).to_have_text("Writing")
    assert re.search(r"\d+ % · \d+ tokens/s · 0:\d\d", await page.locator("#numbers").inner_text())
    await page.screenshot(path=PICTURES / "writing.png")
    await _done(page)
    stored = await _stored(page, _plan_id(page))
    validate_plan(stored["plan"], 4)
    summary, weeks = await _shown(page)
    assert isinstance(stored["plan"], dict)
    assert summary == stored["plan"]["monthly_summary"]
    assert weeks == ["Week 1", "Week 2", "Week 3", "Week 4"]
    tasks = sum(len(day) for week in stored["plan"]["weekly_breakdown"] for day in week["daily_tasks"].values())
    assert await page.locator(".task").count() == tasks
    await expect(page.locator("#quota")).to_have_text("29 of 30 plans left")
    await expect(page.locator(".earlier .badge")).to_have_text("complete")
    await page.screenshot(path=PICTURES / "complete.png")


async def test_stop(open_page: "OpenPage", stack: Stack, upstream: Upstream) -> None:
    """What was written until then stays, and is what is stored."""
    page = await open_page()
    await _write(page, await _scripted(stack, upstream, page, (once(**SLOW),)))
    await expect(page.locator(".week")).not_to_have_count(0)
    await page.get_by_role("button", name="Stop").click()
    await expect(page.locator("#phase")).to_have_text("Stopped, and kept as far as it was written")
    stored = await _stored(page, _plan_id(page))
    assert stored["status"] == "partial"
    assert isinstance(stored["plan"], dict)
    assert (await _shown(page))[0] == stored["plan"]["monthly_summary"]
    await expect(page.get_by_role("button", name="Write the plan")).to_be_enabled()


async def test_reload_in_the_middle(open_page: "OpenPage", stack: Stack, upstream: Upstream) -> None:
    """The address says which plan it is: it goes on where it was."""
    page = await open_page()
    await _write(page, await _scripted(stack, upstream, page, (once(tokens_per_second=150),)))
    await expect(page.locator(".week")).not_to_have_count(0)
    plan_id = _plan_id(page)
    await page.reload()
    await expect(page.locator("#phase")).to_have_text("Writing")
    await _done(page)
    assert _plan_id(page) == plan_id
    stored = await _stored(page, plan_id)
    assert isinstance(stored["plan"], dict)
    assert (await _shown(page))[0] == stored["plan"]["monthly_summary"]


@pytest.mark.provokes("crash", "asyncio logs connections that the test's own proxy cuts")
async def test_the_network_is_cut_and_comes_back(open_page: "OpenPage", stack: Stack, upstream: Upstream) -> None:
    """The page resumes by itself, and never starts a second plan."""
    async with Proxy() as network:
        host, port = stack.gateway.removeprefix("http://").split(":")
        network.target = (host, int(port))
        page = await open_page(base=f"http://127.0.0.1:{network.port}")
        posts: list[str] = []
        page.on("request", lambda asked: posts.append(asked.url) if asked.method == "POST" else None)
        await _write(page, await _scripted(stack, upstream, page, (once(tokens_per_second=100),)))
        await expect(page.locator(".week")).not_to_have_count(0)
        await network.refuse()
        network.cut()
        await asyncio.sleep(1)
        await network.accept()
        await _done(page)
        stored = await _stored(page, _plan_id(page))
        assert isinstance(stored["plan"], dict)
        assert (await _shown(page))[0] == stored["plan"]["monthly_summary"]
        assert len([url for url in posts if url.endswith("/generate-plan")]) == 1
        assert network.cuts


async def test_the_gateway_is_killed_and_started(open_page: "OpenPage", stack: Stack, upstream: Upstream) -> None:
    """The stream breaks; the page waits, comes back and ends with the whole plan, from one POST."""
    page = await open_page()
    posts: list[str] = []
    page.on("request", lambda asked: posts.append(asked.url) if asked.method == "POST" else None)
    await _write(page, await _scripted(stack, upstream, page, (once(tokens_per_second=100),)))
    await expect(page.locator(".week")).not_to_have_count(0)
    await stack.kill("gateway-1")
    await asyncio.sleep(1)
    await stack.start("gateway-1")
    await _done(page)
    stored = await _stored(page, _plan_id(page))
    assert isinstance(stored["plan"], dict)
    assert (await _shown(page))[0] == stored["plan"]["monthly_summary"]
    assert len([url for url in posts if url.endswith("/generate-plan")]) == 1


async def test_an_error_and_another_try(open_page: "OpenPage", stack: Stack, upstream: Upstream) -> None:
    """The reason in words, the offer of both ways on; trying again gives a plan."""
    page = await open_page()
    refused = {"http_error": {"status": 400}}
    goals = await _scripted(stack, upstream, page, (once(**refused), always()))
    await _write(page, goals)
    await expect(page.get_by_role("alert")).to_contain_text("The model broke off")
    await expect(page.get_by_role("button", name="Write it without the live view")).to_be_visible()
    await page.screenshot(path=PICTURES / "trouble.png")
    await page.get_by_role("button", name="Try again").click()
    await _done(page)
    await expect(page.get_by_role("alert")).to_be_hidden()


async def test_the_synchronous_way(open_page: "OpenPage", stack: Stack, upstream: Upstream) -> None:
    """Where streaming has failed the whole plan comes in one answer, and is shown."""
    page = await open_page()
    goals = await _scripted(stack, upstream, page, (once(http_error={"status": 400}), always()))
    await _write(page, goals)
    await page.get_by_role("button", name="Write it without the live view").click()
    await _done(page)
    assert (await _shown(page))[1] == ["Week 1", "Week 2", "Week 3", "Week 4"]


async def test_two_tabs(open_page: "OpenPage", stack: Stack, upstream: Upstream) -> None:
    """Two tabs of one person watch one plan, and end with the same."""
    page = await open_page()
    await _write(page, await _scripted(stack, upstream, page, (once(tokens_per_second=150),)))
    await expect(page.locator(".week")).not_to_have_count(0)
    other = await page.context.new_page()
    await other.goto(page.url)
    await _done(page)
    await _done(other)
    assert await _shown(page) == await _shown(other)


async def test_earlier_plans_and_the_way_back(open_page: "OpenPage") -> None:
    """An earlier plan opens from the shelf; the browser's back button leads back."""
    page = await open_page()
    await _write(page)
    await _done(page)
    await page.goto(page.url.split("?")[0])
    await page.locator(".earlier a").first.click()
    await _done(page)
    await page.go_back()
    await expect(page.locator("#empty")).to_be_visible()


async def test_inputs_are_judged_in_place(open_page: "OpenPage") -> None:
    """A fault stands at its field, which has the focus; nothing is sent."""
    page = await open_page()
    sent: list[str] = []
    page.on("request", lambda asked: sent.append(asked.url) if asked.method == "POST" else None)
    goals = page.get_by_label("What do you want to reach?")
    await goals.fill("   ")
    await page.get_by_label("Hours a day").fill("25")
    await page.get_by_role("button", name="Write the plan").click()
    await expect(page.locator("#goals-fault")).to_have_text("Say what you want to reach.")
    await expect(page.locator("#hours-fault")).to_be_visible()
    await expect(goals).to_be_focused()
    await expect(goals).to_have_attribute("aria-invalid", "true")
    await goals.fill("Sing")
    await expect(page.locator("#goals-fault")).to_be_hidden()
    assert sent == []


async def test_text_is_text(open_page: "OpenPage", stack: Stack, upstream: Upstream) -> None:
    """What the model writes is shown as it is, and never becomes a part of the page."""
    page = await open_page()
    markup = "<img src=x onerror=alert(1)><b>bold</b>"
    opening = {
        "monthly_summary": markup,
        "weekly_breakdown": [{"week": 1, "focus": "<script>1</script>", "goals": [markup]}],
    }
    content = json.dumps(opening)
    goals = await _scripted(stack, upstream, page, (always(content=content, finish_reason="stop"),))
    await _write(page, goals)
    await expect(page.locator("#summary")).to_have_text(markup)
    assert await page.locator("#plan img, #plan b, #plan script").count() == 0


async def test_narrow_and_dark(open_page: "OpenPage") -> None:
    """On a telephone at night: one column, nothing beside the screen, dark paper."""
    page = await open_page(viewport={"width": 390, "height": 844}, color_scheme="dark", device_scale_factor=1)
    await _write(page)
    await _done(page)
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    paper = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, re.findall(r"\d+", paper)[:3])) < 150
    await page.screenshot(path=PICTURES / "narrow-dark.png", full_page=False)


async def test_the_ear_hears_little(open_page: "OpenPage") -> None:
    """A screen reader is told phases and whole weeks: some sentences for some thousand words."""
    page = await open_page()
    await page.evaluate(
        """() => {
            window.heard = [];
            const live = document.getElementById("live");
            new MutationObserver(() => window.heard.push(live.textContent)).observe(live, {childList: true});
        }"""
    )
    await _write(page)
    await _done(page)
    heard: list[str] = await page.evaluate("window.heard")
    assert heard[-1] == "Done"
    assert "1 of 4 weeks written" in heard
    assert len(heard) <= 12


@needs_node
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_serious_fault_of_access(open_page: "OpenPage", stack: Stack, upstream: Upstream, scheme: str) -> None:
    """axe finds nothing serious: at the start, while it is written, with a fault, in the end; light and dark."""
    packages = packages_in(PACKAGES, Path(__file__).parent / "node")
    page = await open_page(color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")
    await page.add_script_tag(path=packages / "node_modules" / "axe-core" / "axe.min.js")

    async def judge(moment: str) -> None:
        found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [
            (each["id"], [node["html"] for node in each["nodes"]][:3])
            for each in found["violations"]
            if each["impact"] in {"serious", "critical"}
        ]
        assert serious == [], moment

    await judge("at the start")
    await page.get_by_label("What do you want to reach?").fill("")
    await page.get_by_role("button", name="Write the plan").click()
    await judge("with a fault in the form")
    await _write(page, await _scripted(stack, upstream, page, (once(http_error={"status": 400}), always())))
    await expect(page.get_by_role("alert")).to_be_visible()
    await judge("after an error")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator(".week")).not_to_have_count(0)
    await judge("while it is written")
    await _done(page)
    await judge("in the end")


async def test_by_the_keyboard_alone(open_page: "OpenPage") -> None:
    """Tab leads to all that can be done, in order, and Enter writes the plan."""
    page = await open_page()
    active = "(({id, className, tagName}) => id || className || tagName)(document.activeElement)"
    stops = []
    for _ in range(9):
        await page.keyboard.press("Tab")
        stops.append(await page.evaluate(active))
    assert stops == ["skip", "goals", "focus", "hours", "weeks", "ambition", "SUMMARY", "start", "BODY"]
    await page.locator("#start").focus()
    await page.keyboard.press("Enter")
    await _done(page)
