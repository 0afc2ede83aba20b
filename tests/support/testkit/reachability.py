"""Who may open a connection to whom under a set of NetworkPolicies. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Policy = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Place:
    """A pod of the namespace; with `namespace`, one elsewhere; with `address`, one outside of the cluster."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: Mapping[str, str] | None = None
    address: str | None = None

    @property
    def ours(self) -> bool:
        """Whether the policies are about it."""
        return self.namespace is None and self.address is None


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes these labels; of the expressions `In` alone is understood."""
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def _is_peer(peer: Mapping[str, Any], place: Place) -> bool:
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        if place.address is None or ip_address(place.address) not in ip_network(block["cidr"]):
            return False
        return not any(ip_address(place.address) in ip_network(each) for each in block.get("except", []))
    if place.address is not None:
        return False
    if "namespaceSelector" in peer:
        if place.namespace is None or not matches(peer["namespaceSelector"], place.namespace):
            return False
    elif place.namespace is not None:
        return False
    return matches(peer.get("podSelector", {}), place.labels)


def _allows(rules: Iterable[Mapping[str, Any]], side: str, other: Place, port: int) -> bool:
    for rule in rules:
        ports = rule.get("ports")
        if ports is not None and port not in {each["port"] for each in ports}:
            continue
        peers = rule.get(side)
        if peers is None or any(_is_peer(peer, other) for peer in peers):
            return True
    return False


def _passes(policies: Iterable[Policy], kind: str, own: Place, other: Place, port: int) -> bool:
    if not own.ours:
        return True
    spec = [policy["spec"] for policy in policies]
    about = [each for each in spec if kind in each["policyTypes"] and matches(each["podSelector"], own.labels)]
    side, rules = ("to", "egress") if kind == "Egress" else ("from", "ingress")
    return not about or any(_allows(each.get(rules, []), side, other, port) for each in about)


def reaches(policies: Sequence[Policy], source: Place, target: Place, port: int) -> bool:
    """Whether the source's rules let it out, and the target's let it in."""
    return _passes(policies, "Egress", source, target, port) and _passes(policies, "Ingress", target, source, port)
