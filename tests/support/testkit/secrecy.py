"""Secrets that can be told from everything else, and a look at all that a stack has said, for them and for crashes."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import httpx

from local_stack import Stack
from local_stack.opening import Rewire
from local_stack.roles import SERVICES, service_url

# Part of every secret that a test can choose; nothing else holds it.
CANARY: Final = "canary-5b1c"
# For a stack's environment. In development the gateway does not use the first; it must not tell it either.
SECRET_SETTINGS: Final = {
    "JWT_SECRET": f"{CANARY}-jwt-secret-of-at-least-32-bytes",
    "SERVICE_TOKEN": f"{CANARY}-service-token-of-32-bytes-or-more",
    "SERVICE_TOKEN_PREVIOUS": f"{CANARY}-previous-service-token-of-32-bytes",
}
# What a client may carry beside what it is known by.
SECRET_HEADERS: Final = {"Authorization": f"Bearer {CANARY}-token", "Cookie": f"planstream={CANARY}-cookie; a={CANARY}"}
# A crash in a service's log: a stack trace, or an answer that nobody has thought of.
_CRASH: Final = re.compile(r'Traceback \(most recent call last\)|"request\.crashed"|"status": 500\b')


def with_secret_key(rewire: Rewire | None) -> Rewire:
    """A rewire that also gives the generators a key for OpenRouter that can be told; the emulator takes any."""

    def change(service: str, environment: Mapping[str, str]) -> Mapping[str, str]:
        changed = environment if rewire is None else rewire(service, environment)
        if "OPENROUTER_API_KEY" not in changed:
            return changed
        return {**changed, "OPENROUTER_API_KEY": f"{CANARY}-key"}

    return change


def passwords_of(stack: Stack) -> set[str]:
    """Those of the database, for the administrator and each service, and of NATS: made anew for every stack."""
    addresses = stack.addresses
    urls = [addresses.admin_url, addresses.nats_url, *(service_url(addresses.admin_url, each) for each in SERVICES)]
    return {unquote(password) for url in urls if (password := urlsplit(url).password)}


def told(text: str, secrets: Iterable[str]) -> list[str]:
    """Lines that tell a secret or a crash, shortened."""
    marks = (CANARY, *secrets)
    return [line[:500] for line in text.splitlines() if _CRASH.search(line) or any(mark in line for mark in marks)]


def require_silence(logs: Path, secrets: Iterable[str]) -> None:
    """No log in the folder tells a secret or a crash.

    Raises:
        AssertionError: one does, and what it says.
    """
    secrets = tuple(secrets)
    found = {
        log.name: lines for log in logs.glob("*.log") if (lines := told(log.read_text("utf-8", "replace"), secrets))
    }
    assert not found, f"a secret or a stack trace in the logs: {found}"


async def require_plain_answer(answer: httpx.Response) -> None:
    """For httpx's `event_hooks`: an answer tells no secret and no stack trace, and is never a 500.

    Raises:
        AssertionError: it does.
    """
    said = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
    if answer.headers.get("content-type", "").startswith(
        ("application/json", "application/problem+json", "text/plain")
    ):
        said += (await answer.aread()).decode("utf-8", "replace")
    assert answer.status_code != httpx.codes.INTERNAL_SERVER_ERROR, said
    assert not told(said, ()), said
