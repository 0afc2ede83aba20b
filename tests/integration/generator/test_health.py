"""What a generator says of what it leans on."""

import httpx
from pydantic import SecretStr

from common.server import Draining
from generator.app import create_app
from generator.settings import Settings
from testkit.secrecy import OPENROUTER_KEY, SERVICE_TOKEN
from testkit.serving import serving

TOKEN = SERVICE_TOKEN


async def test_postgres_is_down_once_it_did_not_answer() -> None:
    """The service is ready all the same, and says which dependency is away."""
    settings = Settings(
        database_url=SecretStr("postgresql://nobody:x@127.0.0.1:1/none"),
        nats_url=SecretStr("nats://127.0.0.1:1"),
        service_token=SecretStr(TOKEN),
        openrouter_api_key=SecretStr(OPENROUTER_KEY),
    )
    app = create_app(settings, Draining())
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with serving(app) as url, httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
        asked = await client.get("/internal/plans/6b4bd1c8-4b43-4d31-9a57-3d5f5ab7d0ac")
        assert (asked.status_code, asked.json()["code"]) == (503, "unavailable")
        assert (await client.get("/internal/plans/6b4bd1c84b434d319a573d5f5ab7d0ac")).status_code == 404
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["dependencies"]) == (200, {"postgres": "down", "nats": "down"})
