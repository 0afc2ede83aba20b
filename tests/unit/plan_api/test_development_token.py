"""`planstream-admin token`: what the gateway takes as a user's token, for who has the secret."""

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from plan_api.admin import main
from stream_gateway.auth.tokens import LEEWAY_SECONDS, JwtAuthenticator, SharedSecret

SECRET, ISSUER, AUDIENCE = "s" + "0123456789abcdef" * 3, "https://issuer.example.com", "planstream"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the gateway's."""
    monkeypatch.delenv("AUTH_MODE", raising=False)
    for name, value in (("JWT_SECRET", SECRET), ("JWT_ISSUER", ISSUER), ("JWT_AUDIENCE", AUDIENCE)):
        monkeypatch.setenv(name, value)


async def test_the_gateway_takes_it(capsys: pytest.CaptureFixture[str]) -> None:
    """It is the user's, for as long as was asked for, and alone on standard output."""
    user = uuid4()
    before = datetime.now(UTC)
    assert main(["token", "--user", str(user), "--hours", "3"]) == 0
    (token,) = capsys.readouterr().out.splitlines()
    identity = await JwtAuthenticator(SharedSecret(SECRET), ISSUER, AUDIENCE).verify(token)
    assert identity.user_id == user
    assert identity.expires_at is not None
    ends = datetime.fromtimestamp(identity.expires_at - LEEWAY_SECONDS, UTC)
    assert abs(ends - before - timedelta(hours=3)) < timedelta(seconds=5)


def test_it_says_when_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON, with the user and the end, for who has to renew it."""
    user = uuid4()
    assert main(["token", "--user", str(user), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said.keys() == {"token", "userId", "expiresAt"}
    assert said["userId"] == str(user)
    left = datetime.fromisoformat(said["expiresAt"]) - datetime.now(UTC)
    assert timedelta(hours=11, minutes=59) < left <= timedelta(hours=12)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"JWT_SECRET": None}, "JWT_SECRET"),
        ({"JWT_SECRET": None, "JWT_JWKS_URL": "https://issuer.example.com/keys"}, "JWT_SECRET"),
        ({"JWT_SECRET": "too-short"}, "JWT_SECRET"),
        ({"JWT_ISSUER": None, "JWT_AUDIENCE": ""}, "JWT_ISSUER, JWT_AUDIENCE"),
        ({"AUTH_MODE": "dev"}, "AUTH_MODE"),
    ],
)
def test_nothing_is_signed_without_the_secret(
    change: dict[str, str | None], named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the issuer alone signs, or none is asked for, it says what is missing, and never shows what is there."""
    for name, value in change.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    assert main(["token", "--user", str(uuid4())]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"planstream-admin: missing or wrong in the environment: {named}\n"


@pytest.mark.parametrize("hours", ["0", "-1", "1.5", "721", "x"])
def test_a_life_is_bounded(hours: str) -> None:
    """A token for a trial cannot be taken back, so it ends."""
    with pytest.raises(SystemExit):
        main(["token", "--user", str(uuid4()), "--hours", hours])
