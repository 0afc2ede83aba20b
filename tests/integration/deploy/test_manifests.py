"""The manifests as they are rendered: valid, restricted, and about the services as they are."""

import importlib
import re
import subprocess
from typing import Any

import pytest
import yaml

import generator.settings
import plan_api.settings
import stream_gateway.settings
from common.broker import JOBS, OUTCOMES
from common.contracts import subjects
from common.settings import ServiceSettings
from stream_gateway.app import SYNCHRONOUS_MARGIN_SECONDS
from testkit.manifests import KUBECTL, KUBERNETES, Manifest, environment, named, of_kind, pods, rendered

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(KUBECTL is None, reason="needs kubectl (its `kustomize`), or KUBECTL=/path/to/kubectl"),
]

PLACES = ("overlays/local", "overlays/production")
SERVERS = "overlays/production/servers"
EVERYTHING = (*PLACES, "base", SERVERS, "overlays/production/migrations")
SERVICES: dict[str, type[ServiceSettings]] = {
    "plan-api": plan_api.settings.Settings,
    "generator": generator.settings.Settings,
    "stream-gateway": stream_gateway.settings.Settings,
}
COMPONENTS = (
    "ingress",
    "gateway-api",
    "autoscaling",
    "external-secrets",
    "monitoring",
    "postgres",
    "tls/certificates",
)
# The oldest that has what is used here (preStop's sleep), and the newest whose schemas there are.
OLDEST = "1.30.0"
CUSTOM = {
    "Certificate": "cert-manager.io/v1",
    "Cluster": "postgresql.cnpg.io/v1",
    "ExternalSecret": "external-secrets.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "Issuer": "cert-manager.io/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "ScaledObject": "keda.sh/v1alpha1",
    "ScheduledBackup": "postgresql.cnpg.io/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
}
# After the drain: up to 5 s for the connections to Postgres, 2 for NATS, 2 for what broken calls cost, and room.
CLOSING_SECONDS = 15
# It has no types.
kubernetes_validate: Any = importlib.import_module("kubernetes_validate")


@pytest.mark.parametrize("folder", EVERYTHING)
def test_every_object_is_valid(folder: str) -> None:
    """Against the schemas of the oldest Kubernetes that is meant and of the newest; no field is unknown to them."""
    for each in rendered(folder):
        if each["kind"] in CUSTOM:
            assert each["apiVersion"] == CUSTOM[each["kind"]]
            continue
        for version in (OLDEST, kubernetes_validate.latest_version()):
            kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_component_parses(component: str) -> None:
    """Also those that no overlay uses."""
    for file in (KUBERNETES / "components" / component).glob("*.yaml"):
        for each in yaml.safe_load_all(file.read_text()):
            if each["kind"] not in (*CUSTOM, "Component"):
                kubernetes_validate.validate(each, OLDEST, strict=True)


@pytest.mark.parametrize("folder", EVERYTHING)
def test_every_pod_is_restricted(folder: str) -> None:
    """The Pod Security Standard `restricted`, and more: no way to write, no token, bounds for memory, a version."""
    for name, template in pods(rendered(folder)):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert not [each for each in spec.get("volumes", []) if "hostPath" in each], name
        for container in spec["containers"]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, name
            assert own["readOnlyRootFilesystem"] is True, name
            assert own["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name
            if folder != "base":
                assert re.search(r":(?!latest$)[\w.-]+$", container["image"]), container["image"]


@pytest.mark.parametrize("folder", [*PLACES, SERVERS])
def test_the_namespace_enforces_it(folder: str) -> None:
    """All objects are in the one namespace, which refuses any other pod."""
    manifests = rendered(folder)
    (namespace,) = of_kind(manifests, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [each for each in manifests if each["kind"] != "Namespace"]
    assert {each["metadata"].get("namespace") for each in others} == {namespace["metadata"]["name"]}


@pytest.mark.parametrize("folder", PLACES)
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_asked_where_it_listens(folder: str, service: str) -> None:
    """Port, probes, Service, selector and disruption budget belong together."""
    manifests = rendered(folder)
    deployment = named(manifests, "Deployment", service)
    template = deployment["spec"]["template"]
    (container,) = template["spec"]["containers"]
    port = SERVICES[service].model_fields["port"].default
    admin = int(environment(rendered(folder), service)["ADMIN_PORT"] or 0)
    assert container["ports"] == [{"name": "http", "containerPort": port}, {"name": "metrics", "containerPort": admin}]
    assert container["readinessProbe"]["httpGet"] == container["startupProbe"]["httpGet"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
    door = named(manifests, "Service", service)["spec"]
    assert door["ports"] == [
        {"name": "http", "port": port, "targetPort": "http"},
        {"name": "metrics", "port": admin, "targetPort": "metrics"},
    ]
    budget = named(manifests, "PodDisruptionBudget", service)["spec"]
    assert budget["maxUnavailable"] == 1
    labels = template["metadata"]["labels"]
    selectors = [door["selector"], deployment["spec"]["selector"]["matchLabels"], budget["selector"]["matchLabels"]]
    for selector in selectors:
        assert selector == {"app.kubernetes.io/name": service}
        assert selector.items() <= labels.items()
    assert {each["topologyKey"] for each in template["spec"]["topologySpreadConstraints"]} == {
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    }
    account = named(manifests, "ServiceAccount", template["spec"]["serviceAccountName"])
    assert account["automountServiceAccountToken"] is False


SECRETS = {
    "DATABASE_URL": "postgresql://generator:x@planstream-postgres-rw:5432/planstream?sslmode=verify-full",
    "NATS_URL": "tls://generator:x@nats:4222",
    "SERVICE_TOKEN": "t" * 32,
    "OPENROUTER_API_KEY": "k",
}


@pytest.mark.parametrize("folder", PLACES)
@pytest.mark.parametrize("service", SERVICES)
def test_the_settings_are_the_services_own(folder: str, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name is one that the service reads, and with its secrets it starts on them."""
    found = environment(rendered(folder), service)
    known = {name.upper() for name in SERVICES[service].model_fields}
    assert found.keys() <= known
    for name, value in found.items():
        monkeypatch.setenv(name, value if value is not None else SECRETS[name])
    if folder == "overlays/local" and service == "stream-gateway":
        monkeypatch.setenv("JWT_SECRET", "s" * 32)
    settings = SERVICES[service]()
    urls = [str(getattr(settings, name, "")) for name in ("plan_api_url", "generator_urls")]
    for host, port in re.findall(r"http://([\w.-]+):(\d+)", " ".join(urls)):
        assert named(rendered(folder), "Service", host)["spec"]["ports"][0]["port"] == int(port)


@pytest.mark.parametrize("folder", PLACES)
@pytest.mark.parametrize("service", SERVICES)
def test_a_roll_out_lets_work_end(folder: str, service: str) -> None:
    """One more before one less; and the time to leave is the time that the drain takes."""
    manifests = rendered(folder)
    spec = named(manifests, "Deployment", service)["spec"]
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    pod = spec["template"]["spec"]
    pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = float(environment(manifests, service)["SHUTDOWN_SECONDS"] or 0)
    assert pause > 0
    assert pod["terminationGracePeriodSeconds"] >= pause + drain + CLOSING_SECONDS


def provided(folder: str) -> set[tuple[str, str]]:
    """Which secret holds which key: ExternalSecrets in production, a script's output for the local cluster."""
    if folder == "overlays/local":
        script = subprocess.run([KUBERNETES / folder / "secrets.sh"], check=True, capture_output=True, text=True)
        made = [each for each in yaml.safe_load_all(script.stdout) if each]
        return {(each["metadata"]["name"], key) for each in made for key in each["stringData"]}
    made = of_kind(rendered(SERVERS), "ExternalSecret")
    return {(each["spec"]["target"]["name"], item["secretKey"]) for each in made for item in each["spec"]["data"]}


@pytest.mark.parametrize(
    ("folder", "source"),
    [(place, place) for place in PLACES] + [("overlays/production/migrations", "overlays/production")],
)
def test_secrets_are_referred_to(folder: str, source: str) -> None:
    """None is written down, and each that a pod needs is made by somebody."""
    manifests = rendered(folder)
    assert of_kind(manifests, "Secret") == []
    text = yaml.safe_dump_all(manifests)
    assert not re.search(r"://[^/\s:@]+:[^/\s@]+@", text)
    assert not re.search(r"(?im)^\s*(\w*(password|token|secret|api_key))\s*:\s*\S{8,}$", text.replace("secretName", ""))
    wanted = {
        (reference["name"], reference["key"])
        for _, template in pods(manifests)
        for container in template["spec"]["containers"]
        for each in container.get("env", [])
        if (reference := each.get("valueFrom", {}).get("secretKeyRef")) and not reference.get("optional")
    }
    assert wanted
    assert wanted <= provided(source)


def seconds(text: str) -> float:
    """A duration of the Gateway API."""
    assert text.endswith("s")
    return float(text.removesuffix("s"))


def test_the_way_in_waits_as_long_as_the_gateway() -> None:
    """Streams have no end to a proxy; the synchronous call has the gateway's own patience and more."""
    (route,) = of_kind(rendered("overlays/production"), "HTTPRoute")
    rules = {rule["matches"][0]["path"]["value"]: rule for rule in route["spec"]["rules"]}
    patience = stream_gateway.settings.Settings.model_fields["streaming_timeout"].default / 1000
    patience += SYNCHRONOUS_MARGIN_SECONDS
    assert rules["/api/streaming"]["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    assert seconds(rules["/api/plan/generate"]["timeouts"]["request"]) > patience
    for rule in rules.values():
        assert rule["backendRefs"] == [{"name": "stream-gateway", "port": 8080}]
    ingress = yaml.safe_load((KUBERNETES / "components/ingress/ingress.yaml").read_text())
    notes = ingress["metadata"]["annotations"]
    assert float(notes["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > patience
    assert notes["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"


def test_scaling_follows_streams_and_jobs() -> None:
    """The names are those of the metric, the stream and the consumer; what is scaled has no number of its own."""
    manifests = rendered("overlays/production")
    (scaler,) = of_kind(manifests, "HorizontalPodAutoscaler")
    assert scaler["spec"]["metrics"][0]["pods"]["metric"]["name"] == "planstream_gateway_open_streams"
    (trigger,) = named(manifests, "ScaledObject", "generator")["spec"]["triggers"]
    assert trigger["metadata"]["stream"] == subjects.JOBS_STREAM
    assert trigger["metadata"]["consumer"] == subjects.JOBS_CONSUMER
    most = generator.settings.Settings.model_fields["generator_concurrency"].default
    assert int(trigger["metadata"]["lagThreshold"]) <= most
    for name, scaled in (("stream-gateway", True), ("generator", True), ("plan-api", False)):
        assert ("replicas" not in named(manifests, "Deployment", name)["spec"]) == scaled


def test_nats_keeps_what_was_acknowledged() -> None:
    """Three copies, written before they are acknowledged, on volumes with more room than the streams may take."""
    values: Manifest = yaml.safe_load((KUBERNETES / "charts" / "nats.yaml").read_text())
    config = values["config"]
    replicas = {
        int(environment(rendered("overlays/production"), name)["NATS_REPLICAS"] or 0)
        for name in ("plan-api", "generator")
    }
    assert replicas == {config["cluster"]["replicas"]} == {3}
    assert config["jetstream"]["merge"]["sync_interval"] == "always"
    room = int(config["jetstream"]["fileStore"]["maxSize"].removesuffix("Gi")) * 1024**3
    assert (JOBS.max_bytes or 0) + (OUTCOMES.max_bytes or 0) < room
    assert config["nats"]["tls"]["merge"]["handshake_first"] is True
    users = named(rendered(SERVERS), "ConfigMap", "nats-users")["data"]["users.conf"]
    assert set(re.findall(r"password: \$(\w+)", users)) == set(values["container"]["env"])


def test_one_release_rolls_out() -> None:
    """Services and migrations name the same version of images of our own."""
    images = [
        container["image"]
        for folder in ("overlays/production", "overlays/production/migrations")
        for _, template in pods(rendered(folder))
        for container in template["spec"]["containers"]
    ]
    assert len(images) == 4
    assert len({image.rpartition(":")[2] for image in images}) == 1
