"""What the streams may take (common.broker) is what the servers' volumes, their limits and the texts are made for."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.broker import JOBS, MEBIBYTE, OUTCOMES

DEPLOY = Path(__file__).parents[3] / "deploy"
STREAMS = {JOBS.name: JOBS.max_bytes or 0, OUTCOMES.name: OUTCOMES.max_bytes or 0}
TOTAL = sum(STREAMS.values())
COMPOSE = (DEPLOY / "compose" / "nats.conf").read_text()
LOCAL = next(
    each["data"]["nats.conf"]
    for each in yaml.safe_load_all((DEPLOY / "kubernetes" / "overlays" / "local" / "nats.yaml").read_text())
    if each["kind"] == "ConfigMap"
)
UNITS = {"M": MEBIBYTE, "G": 1024 * MEBIBYTE, "Mi": MEBIBYTE, "Gi": 1024 * MEBIBYTE}


def size(text: str) -> int:
    """Bytes: 1G as NATS writes it, 8Gi as Kubernetes does."""
    match = re.fullmatch(r"(\d+)([MG]i?)", text)
    assert match is not None, text
    return int(match[1]) * UNITS[match[2]]


def test_both_streams_are_bounded() -> None:
    """An unbounded one would fill the volume, and then nothing is acknowledged any more."""
    assert min(STREAMS.values()) > 0


@pytest.mark.parametrize("configuration", [COMPOSE, LOCAL], ids=["compose", "local"])
def test_a_single_server_has_room_for_both(configuration: str) -> None:
    """Twice what they may take: a stream whose bound the server cannot promise is refused. Each job is on disk."""
    (most,) = re.findall(r"max_file_store: (\w+)", configuration)
    assert size(most) >= 2 * TOTAL
    assert re.findall(r"sync_interval: (\w+)", configuration) == ["always"]


def test_the_cluster_has_room_for_both() -> None:
    """On each server, and the volume has more than the store may take."""
    values: dict[str, Any] = yaml.safe_load((DEPLOY / "kubernetes" / "charts" / "nats.yaml").read_text())
    store = values["config"]["jetstream"]["fileStore"]
    assert 2 * TOTAL <= size(store["maxSize"]) < size(store["pvc"]["size"])
    assert values["config"]["jetstream"]["merge"]["sync_interval"] == "always"


def test_the_texts_say_the_bounds() -> None:
    """Where a number stands it is that of the code."""
    chart = (DEPLOY / "kubernetes" / "charts" / "nats.yaml").read_text()
    assert dict(re.findall(r"(PLAN_\w+) (\d+) MiB", chart)) == {
        name: str(most // MEBIBYTE) for name, most in STREAMS.items()
    }
    for text in ((DEPLOY / "README.md").read_text(), (DEPLOY / "compose" / "nats.conf").read_text()):
        assert re.findall(r"(\d+) MiB", text) == [str(TOTAL // MEBIBYTE)]
