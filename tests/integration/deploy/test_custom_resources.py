"""Custom resources, whose schemas are their operators': no member that is not meant, nothing that is not there."""

import importlib
from typing import Any

import pytest

from testkit.manifests import KUBECTL, Manifest, environment, named, of_kind, pods, rendered

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(KUBECTL is None, reason="needs kubectl (its `kustomize`), or KUBECTL=/path/to/kubectl"),
]

# It has no types.
jsonschema: Any = importlib.import_module("jsonschema")

ROLLED, SERVERS = "overlays/production", "overlays/production/servers"
TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
DURATION = {"type": "string", "pattern": r"^\d+(s|m|h)$"}
PAIR = {"type": "object", "required": ["name", "key"]}


def closed(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """An object with these members and no others: a misspelt one would be dropped in silence by the operator."""
    return {
        "type": "object",
        "properties": required | optional,
        "required": list(required),
        "additionalProperties": False,
    }


def many(item: dict[str, Any]) -> dict[str, Any]:
    """At least one."""
    return {"type": "array", "items": item, "minItems": 1}


RULE = closed(
    {
        "matches": many(
            closed({"path": closed({"type": {"enum": ["PathPrefix", "Exact"]}, "value": TEXT})}, method=TEXT)
        ),
        "timeouts": closed({"request": DURATION, "backendRequest": DURATION}),
        "backendRefs": many(closed({"name": TEXT, "port": {"type": "integer"}})),
    }
)
# What of each kind's `spec` is used here, by the documentation of its operator.
SPECS: dict[str, dict[str, Any]] = {
    "ServiceMonitor": closed(
        {
            "selector": closed({"matchLabels": {"type": "object"}}),
            "targetLabels": many(TEXT),
            "endpoints": many(closed({"port": TEXT, "path": {"const": "/metrics"}, "interval": DURATION})),
        }
    ),
    "PrometheusRule": closed(
        {
            "groups": many(
                closed(
                    {
                        "name": TEXT,
                        "rules": many(
                            closed(
                                {
                                    "alert": TEXT,
                                    "expr": TEXT,
                                    "for": DURATION,
                                    "labels": closed({"severity": {"enum": ["critical", "warning"]}}),
                                    "annotations": closed({"summary": TEXT, "runbook": TEXT}),
                                }
                            )
                        ),
                    }
                )
            )
        }
    ),
    "HTTPRoute": closed(
        {"parentRefs": many(closed({"name": TEXT, "namespace": TEXT})), "hostnames": many(TEXT), "rules": many(RULE)}
    ),
    "ScaledObject": closed(
        {
            "scaleTargetRef": closed({"name": TEXT}),
            "minReplicaCount": {"type": "integer", "minimum": 2},
            "maxReplicaCount": {"type": "integer", "maximum": 100},
            "triggers": many(
                closed(
                    {
                        "type": {"const": "nats-jetstream"},
                        "metadata": closed(
                            {
                                "natsServerMonitoringEndpoint": {"type": "string", "pattern": r"^[\w.-]+:\d+$"},
                                "account": {"const": "$G"},
                                "stream": TEXT,
                                "consumer": TEXT,
                                "lagThreshold": {"type": "string", "pattern": r"^\d+$"},
                            }
                        ),
                    },
                    metricType={"const": "AverageValue"},
                )
            ),
        },
        pollingInterval={"type": "integer"},
        advanced={"type": "object"},
    ),
    "Cluster": closed(
        {
            "instances": {"type": "integer", "minimum": 3},
            "imageName": TEXT,
            "postgresql": closed(
                {
                    "synchronous": closed(
                        {
                            "method": {"const": "any"},
                            "number": {"const": 1},
                            "dataDurability": {"enum": ["preferred", "required"]},
                        }
                    ),
                    "parameters": {"type": "object", "additionalProperties": TEXT},
                }
            ),
            "bootstrap": closed({"initdb": {"type": "object", "required": ["database", "owner", "secret"]}}),
            "managed": {"type": "object"},
            "storage": closed({"size": TEXT}),
            "walStorage": closed({"size": TEXT}),
            "resources": {"type": "object", "required": ["requests", "limits"]},
            "affinity": {"type": "object"},
            "backup": closed(
                {
                    "retentionPolicy": {"type": "string", "pattern": r"^\d+[dwm]$"},
                    "barmanObjectStore": closed(
                        {
                            "destinationPath": {"type": "string", "pattern": r"^s3://"},
                            "s3Credentials": closed({"accessKeyId": PAIR, "secretAccessKey": PAIR}),
                        },
                        wal={"type": "object"},
                    ),
                }
            ),
        },
        primaryUpdateStrategy=TEXT,
        certificates={"type": "object"},
    ),
    "ScheduledBackup": closed(
        {
            "schedule": {"type": "string", "pattern": r"^(\S+ ){5}\S+$"},
            "backupOwnerReference": {"enum": ["self", "cluster", "none"]},
            "cluster": closed({"name": TEXT}),
        }
    ),
    "Certificate": closed(
        {
            "secretName": TEXT,
            "duration": DURATION,
            "privateKey": {"type": "object"},
            "issuerRef": closed({"name": TEXT, "kind": TEXT}),
        },
        dnsNames=many(TEXT),
        isCA={"const": True},
        commonName=TEXT,
        usages=many(TEXT),
        renewBefore=DURATION,
    ),
    "Issuer": {"type": "object", "minProperties": 1, "maxProperties": 1},
    "ExternalSecret": closed(
        {
            "refreshInterval": DURATION,
            "secretStoreRef": closed({"kind": {"const": "ClusterSecretStore"}, "name": TEXT}),
            "target": closed({"name": TEXT, "creationPolicy": {"const": "Owner"}}),
            "data": many(closed({"secretKey": TEXT, "remoteRef": closed({"key": TEXT, "property": TEXT})})),
        }
    ),
}


def custom(folder: str) -> list[Manifest]:
    """The custom resources of a folder."""
    return [each for each in rendered(folder) if each["kind"] in SPECS]


@pytest.mark.parametrize("folder", [ROLLED, SERVERS])
def test_every_member_is_one_that_is_meant(folder: str) -> None:
    """Each kind's `spec`, member by member."""
    found = custom(folder)
    assert found
    for each in found:
        jsonschema.validate(each["spec"], SPECS[each["kind"]])


def test_every_kind_is_rendered_somewhere() -> None:
    """A description that nothing is held to is no check."""
    assert {each["kind"] for folder in (ROLLED, SERVERS) for each in custom(folder)} == set(SPECS)


def test_routes_and_scalers_point_at_what_is_there() -> None:
    """Services with that port, and Deployments with that name and no number of their own."""
    manifests = rendered(ROLLED)
    for route in of_kind(manifests, "HTTPRoute"):
        for reference in (each for rule in route["spec"]["rules"] for each in rule["backendRefs"]):
            ports = named(manifests, "Service", reference["name"])["spec"]["ports"]
            assert reference["port"] in [port["port"] for port in ports]
    for scaler in of_kind(manifests, "ScaledObject"):
        scaled = named(manifests, "Deployment", scaler["spec"]["scaleTargetRef"]["name"])["spec"]
        assert "replicas" not in scaled
        least, most = scaler["spec"]["minReplicaCount"], scaler["spec"]["maxReplicaCount"]
        assert least < most


def test_monitoring_finds_every_service() -> None:
    """By the labels and the port of the three Services, and of nothing else."""
    manifests = rendered(ROLLED)
    (monitor,) = of_kind(manifests, "ServiceMonitor")
    wanted, (endpoint,) = monitor["spec"]["selector"]["matchLabels"].items(), monitor["spec"]["endpoints"]
    chosen = [each for each in of_kind(manifests, "Service") if wanted <= each["metadata"].get("labels", {}).items()]
    assert sorted(each["metadata"]["name"] for each in chosen) == ["generator", "plan-api", "stream-gateway"]
    assert all(endpoint["port"] in [port["name"] for port in each["spec"]["ports"]] for each in chosen)


def test_postgres_has_room_for_every_connection() -> None:
    """As many processes as may be scaled up, each with its pool, and two more of each while one is replaced."""
    manifests = rendered(ROLLED)
    (cluster,) = of_kind(rendered(SERVERS), "Cluster")
    (scaler,) = of_kind(manifests, "ScaledObject")
    (gateways,) = of_kind(manifests, "HorizontalPodAutoscaler")
    plan_apis = named(manifests, "Deployment", "plan-api")["spec"]["replicas"]
    most = 10 * (scaler["spec"]["maxReplicaCount"] + 2 + plan_apis + 2) + 5 * (gateways["spec"]["maxReplicas"] + 2)
    assert most < int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])


def test_backups_are_of_the_cluster_that_there_is() -> None:
    """And its secrets are made by somebody, or named in the runbook's table."""
    servers = rendered(SERVERS)
    (cluster,) = of_kind(servers, "Cluster")
    (backup,) = of_kind(servers, "ScheduledBackup")
    assert backup["spec"]["cluster"]["name"] == cluster["metadata"]["name"]
    owner = cluster["spec"]["bootstrap"]["initdb"]["owner"]
    assert owner in [role["name"] for role in cluster["spec"]["managed"]["roles"] if role.get("createrole")]


def test_certificates_are_signed_and_used() -> None:
    """By an issuer that there is, and mounted by a pod, an issuer or the chart of NATS."""
    servers = rendered(SERVERS)
    issuers = {each["metadata"]["name"]: each["spec"] for each in of_kind(servers, "Issuer")}
    signing = {spec["ca"]["secretName"] for spec in issuers.values() if "ca" in spec}
    mounted = {
        volume["secret"]["secretName"]
        for _, template in pods(rendered(ROLLED))
        for volume in template["spec"].get("volumes", [])
        if "secret" in volume
    }
    for certificate in of_kind(servers, "Certificate"):
        assert certificate["spec"]["issuerRef"]["name"] in issuers
        assert certificate["spec"]["secretName"] in signing | mounted | {"nats-tls"}
    (nats,) = (each for each in of_kind(servers, "Certificate") if each["metadata"]["name"] == "nats")
    assert "nats" in nats["spec"]["dnsNames"]


def test_secrets_are_made_for_the_names_that_services_read() -> None:
    """No key of an ExternalSecret is one that nobody asks for."""
    wanted: dict[str, set[str]] = {}
    for folder in (ROLLED, f"{ROLLED}/migrations"):
        for _, template in pods(rendered(folder)):
            for container in template["spec"]["containers"]:
                for each in container.get("env", []):
                    if reference := each.get("valueFrom", {}).get("secretKeyRef"):
                        wanted.setdefault(reference["name"], set()).add(reference["key"])
    for secret in of_kind(rendered(SERVERS), "ExternalSecret"):
        name = secret["spec"]["target"]["name"]
        keys = {item["secretKey"] for item in secret["spec"]["data"]}
        if name != "nats-passwords":
            assert keys <= wanted[name], name
    assert environment(rendered(ROLLED), "generator")["OPENROUTER_API_KEY"] is None
