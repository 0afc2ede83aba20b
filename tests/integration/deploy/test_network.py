"""The network policies as a matrix: every pair of places, every port, and which of them may talk."""

from itertools import product

import pytest

from testkit.manifests import KUBECTL, named, of_kind, pods, rendered
from testkit.reachability import Place, reaches

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(KUBECTL is None, reason="needs kubectl (its `kustomize`), or KUBECTL=/path/to/kubectl"),
]

NAME = "app.kubernetes.io/name"
PLAN_API = Place("plan-api", {NAME: "plan-api"})
GENERATOR = Place("generator", {NAME: "generator"})
GATEWAY = Place("stream-gateway", {NAME: "stream-gateway"})
MIGRATIONS = Place("migrations", {NAME: "migrations"})
NATS = Place("nats", {NAME: "nats"})
POSTGRES = Place("postgres", {"cnpg.io/cluster": "planstream-postgres"})
UNKNOWN = Place("unknown", {NAME: "unknown"})
NAMES = Place("names", {"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"})
EDGE = Place("edge", {}, {"planstream.io/role": "edge"})
OPERATOR = Place("postgres-operator", {}, {"planstream.io/role": "postgres-operator"})
AUTOSCALER = Place("autoscaler", {}, {"planstream.io/role": "autoscaler"})
MONITORING = Place("monitoring", {}, {"planstream.io/role": "monitoring"})
CALLER = Place("caller", {"planstream.io/role": "caller"}, {"planstream.io/role": "caller"})
ELSEWHERE = Place("elsewhere", {NAME: "stream-gateway"}, {"kubernetes.io/metadata.name": "default"})
WORLD = Place("world", address="104.18.2.115")
NEIGHBOUR = Place("neighbour", address="10.0.0.7")
METADATA = Place("metadata of the cloud", address="169.254.169.254")

INSIDE = (PLAN_API, GENERATOR, GATEWAY, MIGRATIONS, NATS, POSTGRES, UNKNOWN)
OUTSIDE = (NAMES, EDGE, OPERATOR, AUTOSCALER, MONITORING, CALLER, ELSEWHERE, WORLD, NEIGHBOUR, METADATA)
PLACES = (*INSIDE, *OUTSIDE)
PORTS = (53, 80, 443, 4222, 4318, 5432, 6222, 6443, 8000, 8080, 8081, 8082, 8222, 9090)

# What the services do (README), what their servers need, and nothing else.
WAYS = {
    (EDGE, GATEWAY, 8080),
    (GATEWAY, PLAN_API, 8081),
    (GATEWAY, GENERATOR, 8082),
    (PLAN_API, GENERATOR, 8082),
    (CALLER, PLAN_API, 8081),
    *((service, NATS, 4222) for service in (PLAN_API, GENERATOR, GATEWAY)),
    *((service, POSTGRES, 5432) for service in (PLAN_API, GENERATOR, GATEWAY, MIGRATIONS)),
    *((MONITORING, service, 9090) for service in (PLAN_API, GENERATOR, GATEWAY)),
    *((service, MONITORING, 4318) for service in (PLAN_API, GENERATOR, GATEWAY)),
    (GENERATOR, WORLD, 443),
    (GATEWAY, WORLD, 443),
    (NATS, NATS, 6222),
    (AUTOSCALER, NATS, 8222),
    (POSTGRES, POSTGRES, 5432),
    (POSTGRES, POSTGRES, 8000),
    (OPERATOR, POSTGRES, 5432),
    (OPERATOR, POSTGRES, 8000),
    *((place, NAMES, 53) for place in INSIDE),
    # Each instance speaks to the Kubernetes API and to the store of the backups, wherever they are.
    *((POSTGRES, place, port) for place in OUTSIDE for port in (443, 6443)),
}


def test_only_the_named_ways_are_open() -> None:
    """Production: what is needed is open, and every other pair of places and port is shut."""
    manifests = rendered("overlays/production") + rendered("overlays/production/servers")
    policies = of_kind(manifests, "NetworkPolicy")
    pairs = [(source, target) for source, target in product(PLACES, PLACES) if source.ours or target.ours]
    found = {
        (source.name, target.name, port)
        for (source, target), port in product(pairs, PORTS)
        if reaches(policies, source, target, port)
    }
    assert found == {(source.name, target.name, port) for source, target, port in WAYS}


def test_the_matrix_is_about_what_runs() -> None:
    """The labels of the places are those of the pods."""
    labels = [
        template["metadata"]["labels"]
        for folder in ("overlays/production", "overlays/production/migrations", "overlays/local")
        for _, template in pods(rendered(folder))
    ]
    for place in (PLAN_API, GENERATOR, GATEWAY, MIGRATIONS, NATS, POSTGRES):
        assert any(place.labels.items() <= each.items() for each in labels), place.name
    cluster = named(rendered("overlays/production/servers"), "Cluster", "planstream-postgres")
    assert POSTGRES.labels["cnpg.io/cluster"] == cluster["metadata"]["name"]


def test_the_local_cluster_has_its_ways() -> None:
    """The services reach their servers and the emulator; the emulator is asked by the generators alone."""
    policies = of_kind(rendered("overlays/local"), "NetworkPolicy")
    emulator = Place("emulator", {NAME: "emulator"})
    for service in (PLAN_API, GENERATOR, GATEWAY):
        assert reaches(policies, service, NATS, 4222)
        assert reaches(policies, service, POSTGRES, 5432)
        assert reaches(policies, service, emulator, 8090) == (service is GENERATOR)
    assert reaches(policies, MIGRATIONS, POSTGRES, 5432)
    assert not reaches(policies, UNKNOWN, POSTGRES, 5432)
    assert not reaches(policies, emulator, WORLD, 443)
