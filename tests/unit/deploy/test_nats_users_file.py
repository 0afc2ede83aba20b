"""The file of NATS users names the subjects of the contracts, as those are now."""

import re
from pathlib import Path
from uuid import UUID

import pytest

from common.broker import inbox_prefix
from common.contracts import subjects

TEXT = (Path(__file__).parents[3] / "deploy" / "nats" / "users.conf").read_text()
ANY = UUID(int=0)
WILDCARDS = {
    re.sub(r"[^.]+$", "*", subject(ANY))
    for subject in (subjects.events, subjects.state, subjects.control, subjects.viewers, subjects.outcome)
}
STREAMS = {subjects.JOBS_STREAM: subjects.JOBS_CONSUMER, subjects.OUTCOMES_STREAM: subjects.OUTCOMES_CONSUMER}


def named_in(text: str) -> set[str]:
    """The subjects between quotation marks."""
    return {each for each in re.findall(r'"([^"]+)"', text) if "." in each}


def test_every_subject_of_the_wire_is_named() -> None:
    """Plain subjects by their names, those of a plan by a wildcard; and no other plan.* subject."""
    plan = {each for each in named_in(TEXT) if each.startswith("plan.")}
    assert plan == {*WILDCARDS, subjects.JOBS_SUBJECT}


def test_streams_and_consumers_are_those_of_the_contracts() -> None:
    """What is said to JetStream is about our streams, and for each its own consumer."""
    for each in named_in(TEXT):
        if each.startswith(("$JS.API.STREAM.", "$JS.API.CONSUMER.", "$JS.ACK.")):
            words = each.split(".")
            stream = next((word for word in words if word in STREAMS), None)
            assert stream is not None, each
            if "STREAM" not in words:
                assert STREAMS[stream] in words, each


@pytest.mark.parametrize("user", ["plan-api", "generator", "stream-gateway"])
def test_a_service_reads_its_own_answers(user: str) -> None:
    """The prefix that the code uses is the one that the user may subscribe to, and nobody else."""
    inbox = f'"{inbox_prefix(user)}.>"'
    blocks = {block.split()[0]: block for block in TEXT.split("user: ")[1:]}
    assert [name for name, block in blocks.items() if inbox in block] == [user]


def test_no_password_is_written_down() -> None:
    """All of them come from the environment."""
    passwords = re.findall(r"password: (\S+)", TEXT)
    assert len(passwords) == 4
    assert all(re.fullmatch(r"\$NATS_[A-Z_]+_PASSWORD", word) for word in passwords)
