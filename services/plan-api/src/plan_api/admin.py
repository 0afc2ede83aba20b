"""`planstream-admin`: look at and change a user's quota."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import asyncpg
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from common.contracts.public import QuotaView
from common.ids import parse_uuid
from common.postgres import UNAVAILABLE, open_database
from plan_api import quota
from plan_api.quota import Policy
from plan_api.repository import accounts
from plan_api.service import Quota
from plan_api.settings import PlansPerMonth

_REFUSED: tuple[type[Exception], ...] = (asyncpg.PostgresError, *UNAVAILABLE)


class AdminSettings(BaseSettings):
    """What the command needs of plan-api's environment."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    database_url: Annotated[SecretStr, Field(description="PostgreSQL, as plan-api's role")]
    quota_plans_per_month: PlansPerMonth = 30


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        settings = AdminSettings()
    except ValidationError as error:
        names = ", ".join(str(item["loc"][0]).upper() for item in error.errors(include_input=False))
        return _fail(f"missing or wrong in the environment: {names}", 2)
    try:
        view = asyncio.run(_act(settings, parsed))
    except _REFUSED as error:
        return _fail(f"the database refused or does not answer: {error}", 1)
    print(view.to_json().decode() if parsed.json else _text(parsed.user, view))  # noqa: T201 - the command's output
    return 0


async def _act(settings: AdminSettings, parsed: argparse.Namespace) -> QuotaView:
    policy = Policy(settings.quota_plans_per_month, 0)
    async with open_database(settings.database_url, "planstream-admin", size=1) as database:
        if parsed.action == "set":
            period = quota.period_of(datetime.now(UTC))
            async with database.connection() as connection:
                await accounts.set_limit(connection, parsed.user, period, parsed.limit)
        return await Quota(database, policy).view(parsed.user)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="planstream-admin", description="Administer Planstream (DATABASE_URL).")
    nouns = parser.add_subparsers(dest="noun", required=True)
    actions = nouns.add_parser("quota", help="a user's plans per month").add_subparsers(dest="action", required=True)
    show = actions.add_parser("show", help="limit, used, reserved, remaining")
    change = actions.add_parser("set", help="change the limit, from this month on")
    change.add_argument("--limit", type=_limit, required=True, help="plans per month (0: none), or `default`")
    for action in (show, change):
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
