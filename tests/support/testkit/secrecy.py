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
# A JSON Web Token, whoever made it: nothing that is not for a client alone may show one.
_TOKEN: Final = re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{20,}")
# Passwords that are made anew for each server, told by whoever made it.
_kept: set[str] = set()
SERVICE_TOKEN: Final = f"{CANARY}-service-token-of-32-bytes-or-more"
JWT_SECRET: Final = f"{CANARY}-jwt-secret-of-at-least-32-bytes"
OPENROUTER_KEY: Final = f"{CANARY}-key"
# For a stack's environment. In development the gateway does not use the first; it must not tell it either.
SECRET_SETTINGS: Final = {
    "JWT_SECRET": JWT_SECRET,
    "SERVICE_TOKEN": SERVICE_TOKEN,
    "SERVICE_TOKEN_PREVIOUS": f"{CANARY}-previous-service-token-of-32-bytes",
}
# What a client may carry beside what it is known by.
SECRET_HEADERS: Final = {"Authorization": f"Bearer {CANARY}-token", "Cookie": f"planstream={CANARY}-cookie; a={CANARY}"}
# A crash in a service's log: a stack trace, or an answer that nobody has thought of.
_CRASH: Final = re.compile(r'Traceback \(most recent call last\)|\b(request|task|plan)\.crashed\b|"status": 500\b')
# A loop that lost NATS says where and begins anew, which is no crash.
_OUTAGE: Final = re.compile(r'(?=.*"loop\.failed").*\bnats\.(js\.)?errors\.')


def with_secret_key(rewire: Rewire | None) -> Rewire:
    """A rewire that also gives the generators a key for OpenRouter that can be told; the emulator takes any."""

    def change(service: str, environment: Mapping[str, str]) -> Mapping[str, str]:
        changed = environment if rewire is None else rewire(service, environment)
        if "OPENROUTER_API_KEY" not in changed:
            return changed
        return {**changed, "OPENROUTER_API_KEY": OPENROUTER_KEY}

    return change


def keep(secret: str) -> str:
    """From now on this must stand in no output of this process' tests, nor in a log; answers with it."""
    _kept.add(secret)
    return secret


def kept() -> frozenset[str]:
    """All that `keep` was told of."""
    return frozenset(_kept)


def keep_passwords(admin_url: str, *urls: str) -> set[str]:
    """`keep` those in the addresses, and those of the services' roles, which follow from the administrator's."""
    each_role = (service_url(admin_url, service) for service in SERVICES)
    passwords = {unquote(password) for url in (admin_url, *urls, *each_role) if (password := urlsplit(url).password)}
    _kept.update(passwords)
    return passwords


def passwords_of(stack: Stack) -> set[str]:
    """Those of the database, for the administrator and each service, and of NATS: made anew for every stack."""
    return keep_passwords(stack.addresses.admin_url, stack.addresses.nats_url)


def told(text: str, secrets: Iterable[str], *, crashes: bool = True, secrets_too: bool = True) -> list[str]:
    """Lines that tell a crash or a secret, shortened."""
    marks = (CANARY, *secrets)

    def bad(line: str) -> bool:
        secret = secrets_too and (_TOKEN.search(line) or any(mark in line for mark in marks))
        return bool(secret or (crashes and _CRASH.search(line) and not _OUTAGE.match(line)))

    return [line[:500] for line in text.splitlines() if bad(line)]


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
    said = "\n".join(f"{name}: {value}" for name, value in answer.headers.items() if name != "set-cookie")
    if answer.headers.get("content-type", "").startswith(
        ("application/json", "application/problem+json", "text/plain")
    ):
        said += (await answer.aread()).decode("utf-8", "replace")
    assert answer.status_code != httpx.codes.INTERNAL_SERVER_ERROR, said
    assert not told(said, ()), said
