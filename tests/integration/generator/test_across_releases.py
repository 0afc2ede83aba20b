"""A generator between processes of another release."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from nats.aio.client import Client

from common.contracts import subjects
from common.contracts.messages import GenerateJob
from testkit.generator_process import StartGenerator, jobs_left, outcome_of

NewJob = Callable[..., GenerateJob]


@pytest.fixture
def later_job(new_job: NewJob) -> dict[str, Any]:
    """What a plan-api of a later release might say."""
    job: dict[str, Any] = json.loads(new_job(on_disconnect="continue").to_json())
    job["later"] = 2
    taken = {"day": "monday", "startTime": "09:00", "endTime": "10:00", "description": "Work", "place": "Office"}
    job["preferences"] |= {"mood": "brave", "fixedCommitments": [taken]}
    return job


async def test_a_job_with_more_in_it_is_written(
    client: Client, start_generator: StartGenerator, later_job: dict[str, Any]
) -> None:
    """What is not known is skipped, also within the inputs: to refuse the job would lose the plan."""
    await start_generator()
    await client.jetstream().publish(subjects.JOBS_SUBJECT, json.dumps(later_job).encode())
    outcome = await outcome_of(client, GenerateJob.model_validate(later_job, extra="ignore").plan_id)
    assert (outcome.status, outcome.charge) == ("completed", "used")
    assert await jobs_left(client) == 0


async def test_a_call_with_more_in_it_is_answered(
    client: Client, start_generator: StartGenerator, later_job: dict[str, Any]
) -> None:
    """Over HTTP as well: the synchronous call, and the question for many plans."""
    generator = await start_generator()
    written = await generator.call("POST", "/internal/generate", **later_job)
    assert written.json()["status"] == "completed"
    asked = await generator.call("POST", "/internal/plans/query", planIds=[later_job["planId"]], later=True)
    assert [view["status"] for view in asked.json()["plans"]] == ["completed"]
