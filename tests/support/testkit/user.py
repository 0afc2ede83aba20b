"""A user of the public API in dev mode."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx

from testkit.secrecy import SECRET_HEADERS, require_plain_answer
from testkit.viewer import Received, Viewer

DEADLINE_SECONDS = 60.0


class User:
    """Somebody with an id of their own, at one gateway."""

    def __init__(self, client: httpx.AsyncClient, user_id: UUID) -> None:
        self.id = user_id
        self.http = client

    @classmethod
    @asynccontextmanager
    async def at(cls, gateway: str, user_id: UUID | None = None) -> AsyncIterator["User"]:
        """A new user, or one that is known, at a gateway's address."""
        user_id = user_id or uuid4()
        headers = {"X-User-Id": str(user_id), **SECRET_HEADERS}
        look: Any = {"response": [require_plain_answer]}
        async with httpx.AsyncClient(
            base_url=gateway, headers=headers, timeout=DEADLINE_SECONDS, event_hooks=look
        ) as client:
            yield cls(client, user_id)

    async def inputs(self, **changes: Any) -> str:
        """Store inputs; answers with the preferenceId."""
        body = {"userId": str(self.id), "goals": "Play the cello in a trio", "focusAreas": ["Bowing", "Scales"]}
        answer = await self.http.post("/api/plan/inputs", json=body | changes)
        assert answer.status_code == httpx.codes.CREATED, answer.text
        preference_id: str = answer.json()["preferenceId"]
        return preference_id

    def body(self, preference_id: str, **changes: Any) -> dict[str, Any]:
        """The body of a start."""
        return {"preferenceId": preference_id, "userId": str(self.id)} | changes

    async def start(self, **inputs: Any) -> UUID:
        """Start a plan that is written on without viewers; answers with its id."""
        body = self.body(await self.inputs(**inputs))
        answer = await self.http.post("/api/streaming/generate-plan", json=body, headers={"Accept": "application/json"})
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return UUID(answer.json()["planId"])

    def viewer(self, plan_id: UUID | None = None) -> Viewer:
        """A viewer of a plan, or of one that it will start."""
        return Viewer(self.http, plan_id)

    async def get(self, path: str) -> Any:
        """A JSON answer that must be a success."""
        answer = await self.http.get(path)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()

    async def status(self, plan_id: UUID) -> Any:
        """How the plan stands."""
        return await self.get(f"/api/streaming/status/{plan_id}")

    async def plan(self, plan_id: UUID) -> Any:
        """The plan read back."""
        return await self.get(f"/api/plan/plans/{plan_id}")

    async def quota(self) -> Any:
        """The account."""
        return await self.get("/api/plan/quota")

    async def settled(self, seconds: float = 10) -> Any:
        """The account once nothing is reserved: an end is announced to plan-api a little behind its viewers."""
        async with asyncio.timeout(seconds):
            while (quota := await self.quota())["reserved"]:
                await asyncio.sleep(0.02)
        return quota

    async def cancel(self, plan_id: UUID) -> httpx.Response:
        """Cancel."""
        return await self.http.delete(f"/api/streaming/cancel/{plan_id}")


def written(chars: int) -> Any:
    """A condition for `until`: so many characters of JSON have been written."""

    def reached(event: Received) -> bool:
        return bool(event.data.get("progress", {}).get("chars", 0) >= chars)

    return reached
