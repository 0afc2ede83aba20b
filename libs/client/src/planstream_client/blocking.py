"""The client for programs that wait: `aio` without its words for waiting."""

import random
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any, Self

import httpx

from planstream_client import calls
from planstream_client.calls import Call
from planstream_client.errors import RefusedError, UnreachableError
from planstream_client.events import Event
from planstream_client.sse import Decoder
from planstream_client.state import Patience, PlanState


class Watch(PlanState):
    """A plan that is watched: iterate over its events; the connection is opened again by itself when it breaks."""

    def __init__(self, client: "Planstream", first: Call | None, plan_id: str | None, last_id: str | None) -> None:
        super().__init__(plan_id, last_id)
        self.reconnects = 0
        self._client = client
        self._first = first
        self._events = self._follow()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._events.close()

    def __iter__(self) -> Generator[Event, None]:
        return self._events

    def finished(self) -> Self:
        """Watch to the end."""
        for _ in self:
            pass
        return self

    def cancel(self) -> str:
        """Stop the plan itself."""
        assert self.plan_id is not None, "nothing has come yet"
        return self._client.cancel(self.plan_id)

    def _follow(self) -> Generator[Event, None]:
        patience = Patience(self._client.tries)
        why: Exception | None
        while True:
            decoder, why = Decoder(), None
            try:
                with closing(self._connection(decoder)) as events:
                    for event in events:
                        patience.progressed()
                        yield event
            except (httpx.HTTPError, RefusedError) as error:
                why = error
            if self.ended:
                return
            time.sleep(patience.pause(why, decoder.retry or 0, random.random()))  # noqa: S311 - jitter
            self.reconnects += 1

    def _connection(self, decoder: Decoder) -> Generator[Event, None]:
        # A POST is sent again only while nobody has said which plan it made; its key makes that one plan.
        call = calls.watch(self.plan_id, self.last_id) if self.plan_id is not None else self._first
        assert call is not None, "either a plan or a start"
        with self._client.stream(call) as response:
            if not response.is_success:
                response.read()
            if (refused := calls.refusal(response)) is not None:
                raise refused
            if response.status_code == httpx.codes.NO_CONTENT:
                self.ended = True
                return
            for piece in response.iter_bytes():
                for frame in decoder.feed(piece):
                    if (event := self.take(frame)) is not None:
                        yield event
                    if self.ended:
                        return


class Planstream:
    """A gateway, in the name of one user. A context manager."""

    def __init__(
        self, url: str, *, user_id: object | None = None, token: str | None = None, tries: int = 8, **options: Any
    ) -> None:
        """Args: `token` in production, `user_id` alone in development; `options` are those of httpx's client."""
        self.tries = tries
        self._user_id = user_id
        self._http = httpx.Client(base_url=url, headers=calls.identity(user_id, token), **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def save_inputs(self, goals: str, **more: Any) -> str:
        """Store inputs; the preferenceId."""
        return str((self._ask(calls.save_inputs(self._user_id, {"goals": goals, **more})))["preferenceId"])

    def start(self, preference_id: object, *, on_disconnect: str | None = None, key: str | None = None) -> Watch:
        """Start a plan and watch it."""
        return Watch(self, calls.start(self._wish(preference_id, on_disconnect), key), None, None)

    def submit(self, preference_id: object, *, key: str | None = None) -> str:
        """Start a plan that is written whether somebody watches or not; the planId."""
        return str((self._ask(calls.submit(self._wish(preference_id), key)))["planId"])

    def watch(self, plan_id: object, *, last_id: str | None = None) -> Watch:
        """Watch a plan, from its state of now or after an id."""
        return Watch(self, None, str(plan_id), last_id)

    def generate(self, preference_id: object, *, key: str | None = None) -> dict[str, Any]:
        """The synchronous way: `{planId, status, plan, usage}`, when the plan is whole."""
        return self._object(calls.generate(self._wish(preference_id), key))

    def batch(self, preference_ids: Sequence[object], *, key: str | None = None) -> dict[str, Any]:
        """Start up to 20 plans; each is accepted or refused for itself."""
        return self._object(calls.batch(preference_ids, self._user_id, key))

    def cancel(self, plan_id: object) -> str:
        """Stop a plan; its final status, or `cancelling`."""
        return str((self._ask(calls.cancel(plan_id)))["status"])

    def status(self, plan_id: object) -> dict[str, Any]:
        """How a plan stands."""
        return self._object(calls.status(plan_id))

    def plan(self, plan_id: object) -> dict[str, Any]:
        """A stored plan."""
        return self._object(calls.plan(plan_id))

    def plans(self, *, limit: int = 20, cursor: str | None = None) -> dict[str, Any]:
        """The newest plans, and `nextCursor`."""
        return self._object(calls.plans(limit, cursor))

    def delete(self, plan_id: object) -> None:
        """Erase a plan everywhere; one that is being written is stopped first."""
        self._ask(calls.delete(plan_id))

    def quota(self) -> dict[str, Any]:
        """`{limit, used, reserved, remaining, resetsAt}`."""
        return self._object(calls.quota())

    def stream(self, call: Call) -> Any:
        """Open a stream; httpx's context manager."""
        timeout = httpx.Timeout(calls.ANSWER_SECONDS, read=calls.SILENCE_SECONDS)
        return self._http.stream(call.method, call.path, json=call.body, headers=dict(call.headers), timeout=timeout)

    def _wish(self, preference_id: object, on_disconnect: str | None = None) -> dict[str, Any]:
        return calls.wish(preference_id, self._user_id, on_disconnect)

    def _object(self, call: Call) -> dict[str, Any]:
        found = self._ask(call)
        assert isinstance(found, dict), "every answer with content is an object"
        return found

    def _ask(self, call: Call) -> Any:
        try:
            response = self._http.request(
                call.method, call.path, json=call.body, headers=dict(call.headers), timeout=call.seconds
            )
        except httpx.HTTPError as error:
            raise UnreachableError(f"{call.method} {call.path}: {error!r}") from error
        return calls.answer(response)
