"""`planstream-admin`: look at and change a user's quota; make a token for a trial."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

import asyncpg
import orjson
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from common.contracts.public import QuotaView
from common.ids import parse_uuid
from common.postgres import UNAVAILABLE, open_database
from plan_api import quota
from plan_api.development_token import development_token
from plan_api.quota import Policy
from plan_api.repository import accounts
from plan_api.service import Quota
from plan_api.settings import PlansPerMonth

_MAX_HOURS = 24 * 30
_REFUSED: tuple[type[Exception], ...] = (asyncpg.PostgresError, *UNAVAILABLE)


class QuotaSettings(BaseSettings):
    """What `quota` needs of plan-api's environment."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    database_url: Annotated[SecretStr, Field(description="PostgreSQL, as plan-api's role")]
    quota_plans_per_month: PlansPerMonth = 30


class TokenSettings(BaseSettings):
    """What `token` needs of the gateway's environment. With JWT_JWKS_URL the issuer alone can sign."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    auth_mode: Literal["jwt"] = "jwt"
    jwt_secret: Annotated[SecretStr, Field(min_length=32, description="the HS256 key that the gateway checks with")]
    jwt_issuer: str
    jwt_audience: str


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        answer = _token(TokenSettings(), parsed) if parsed.noun == "token" else _quota(QuotaSettings(), parsed)
    except ValidationError as error:
        names = ", ".join(str(item["loc"][0]).upper() for item in error.errors(include_input=False))
        return _fail(f"missing or wrong in the environment: {names}", 2)
    except _REFUSED as error:
        return _fail(f"the database refused or does not answer: {error}", 1)
    print(answer)  # noqa: T201 - the command's output
    return 0


def _token(settings: TokenSettings, parsed: argparse.Namespace) -> str:
    now, life = datetime.now(UTC), timedelta(hours=parsed.hours)
    secret = settings.jwt_secret.get_secret_value()
    token = development_token(parsed.user, secret, settings.jwt_issuer, settings.jwt_audience, now, life)
    if not parsed.json:
        return token
    ends = (now + life).replace(microsecond=0)
    return orjson.dumps({"token": token, "userId": parsed.user, "expiresAt": ends}, option=orjson.OPT_UTC_Z).decode()


def _quota(settings: QuotaSettings, parsed: argparse.Namespace) -> str:
    view = asyncio.run(_act(settings, parsed))
    return view.to_json().decode() if parsed.json else _text(parsed.user, view)


async def _act(settings: QuotaSettings, parsed: argparse.Namespace) -> QuotaView:
    policy = Policy(settings.quota_plans_per_month, 0)
    async with open_database(settings.database_url, "planstream-admin", size=1) as database:
        if parsed.action == "set":
            period = quota.period_of(datetime.now(UTC))
            async with database.connection() as connection:
                await accounts.set_limit(connection, parsed.user, period, parsed.limit)
        return await Quota(database, policy).view(parsed.user)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="planstream-admin", description="Administer Planstream.")
    nouns = parser.add_subparsers(dest="noun", required=True)
    quotas = nouns.add_parser("quota", help="a user's plans per month (DATABASE_URL)")
    actions = quotas.add_subparsers(dest="action", required=True)
    show = actions.add_parser("show", help="limit, used, reserved, remaining")
    change = actions.add_parser("set", help="change the limit, from this month on")
    change.add_argument("--limit", type=_limit, required=True, help="plans per month (0: none), or `default`")
    token = nouns.add_parser("token", help="a token for a trial (JWT_SECRET, JWT_ISSUER, JWT_AUDIENCE)")
    token.add_argument("--hours", type=_hours, default=12, help="how long it is good for (default 12)")
    for action in (show, change, token):
        action.add_argument("--user", type=_user, required=True, help="the user's id (UUID)")
        action.add_argument("--json", action="store_true", help="answer as JSON")
    return parser


def _user(text: str) -> UUID:
    user_id = parse_uuid(text)
    if user_id is None:
        raise argparse.ArgumentTypeError("must be a UUID, such as 6b4bd1c8-4b43-4d31-9a57-3d5f5ab7d0ac")
    return user_id


def _limit(text: str) -> int | None:
    if text == "default":
        return None
    if not (text.isascii() and text.isdigit() and int(text) < 2**31):
        raise argparse.ArgumentTypeError("must be a number from 0, or `default`")
    return int(text)


def _hours(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _MAX_HOURS):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {_MAX_HOURS}")
    return int(text)


def _text(user_id: UUID, view: QuotaView) -> str:
    limit = "no limit" if view.limit is None else str(view.limit)
    left = "no limit" if view.remaining is None else str(view.remaining)
    return (
        f"user {user_id}: limit {limit}, used {view.used}, reserved {view.reserved}, remaining {left}; "
        f"resets at {view.resets_at:%Y-%m-%d} UTC"
    )


def _fail(message: str, code: int) -> int:
    print(f"planstream-admin: {message}", file=sys.stderr)  # noqa: T201 - the command's output
    return code
