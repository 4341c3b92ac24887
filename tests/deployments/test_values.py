"""Each value of the chart changes what it says, and values that cannot work are refused with the reason."""

import pytest
from chart import CHART, at, defaults, merged, nested, refusal, render

PROXIED = """
[server]
drain = { notice = "10s", spread = "20s", deadline = "30s" }
[[listeners]]
name = "public"
address = "0.0.0.0:8080"
client_address = "x-forwarded-for"
trusted_proxies = ["10.0.0.0/8"]
[[listeners]]
name = "second"
address = "0.0.0.0:8081"
client_address = "forwarded"
trusted_proxies = ["10.0.0.0/8"]
[admin]
address = "0.0.0.0:9464"
"""
BALANCED = {"service": {"type": "LoadBalancer"}}
INGRESS = {"config": PROXIED, "ingress": {"enabled": True}}
ROUTE = {"config": PROXIED, "httpRoute": {"enabled": True, "parentRefs": [{"name": "edge"}]}}
MONITORED = {"serviceMonitor": {"enabled": True}}
SCALED = {"autoscaling": {"enabled": True}}

POD = "spec.template.spec"
CONTAINER = f"{POD}.containers.0"
PEER = {"podSelector": {"matchLabels": {"app": "edge"}}}
TOLERATION = {"key": "streams", "operator": "Exists"}
AFFINITY = {"nodeAffinity": {}}
VARIABLE = {"name": "RILLGATE_LOG", "value": "debug"}
DIGEST = "sha256:" + "a" * 64

# A value, another one for it, the values beside it, and the kind and the place of the object that then has the last column.
CHANGES = [
    ("image.repository", "registry.example/rillgate", {}, "Deployment", f"{CONTAINER}.image", "registry.example/rillgate:0.1.0"),
    ("image.tag", "edge", {}, "Deployment", f"{CONTAINER}.image", "rillgate:edge"),
    ("image.digest", DIGEST, {}, "Deployment", f"{CONTAINER}.image", f"rillgate@{DIGEST}"),
    ("image.pullPolicy", "Always", {}, "Deployment", f"{CONTAINER}.imagePullPolicy", "Always"),
    ("imagePullSecrets", ["registry"], {}, "Deployment", f"{POD}.imagePullSecrets", [{"name": "registry"}]),
    ("nameOverride", "edge", {}, "Service", "spec.selector.app~kubernetes~io/name", "edge"),
    ("fullnameOverride", "edge", {}, "Service", "metadata.name", "edge"),
    ("replicas", 5, {}, "Deployment", "spec.replicas", 5),
    ("config", PROXIED, {}, "ConfigMap", "data.rillgate~toml", PROXIED),
    ("secrets", {"tls": "certificate"}, {}, "Deployment", f"{POD}.volumes.1.secret.secretName", "certificate"),
    ("env", [VARIABLE], {}, "Deployment", f"{CONTAINER}.env", [VARIABLE]),
    ("rollout.maxSurge", "25%", {}, "Deployment", "spec.strategy.rollingUpdate.maxSurge", "25%"),
    ("service.type", "NodePort", {}, "Service", "spec.type", "NodePort"),
    ("service.annotations", {"a": "b"}, {}, "Service", "metadata.annotations", {"a": "b"}),
    ("service.ports", {"public": 443}, {}, "Service", "spec.ports.0.port", 443),
    ("service.externalTrafficPolicy", "Cluster", BALANCED, "Service", "spec.externalTrafficPolicy", "Cluster"),
    ("service.loadBalancerClass", "inside", BALANCED, "Service", "spec.loadBalancerClass", "inside"),
    ("service.loadBalancerSourceRanges", ["192.0.2.0/24"], BALANCED, "Service", "spec.loadBalancerSourceRanges", ["192.0.2.0/24"]),
    ("ingress.enabled", True, {"config": PROXIED}, "Ingress", "metadata.name", "demo-rillgate"),
    ("ingress.className", "edge", INGRESS, "Ingress", "spec.ingressClassName", "edge"),
    ("ingress.annotations", {"a": "b"}, INGRESS, "Ingress", "metadata.annotations", {"a": "b"}),
    ("ingress.listener", "second", INGRESS, "Ingress", "spec.rules.0.http.paths.0.backend.service.port.name", "second"),
    ("ingress.hosts", ["a.example", "b.example"], INGRESS, "Ingress", "spec.rules.1.host", "b.example"),
    ("ingress.tlsSecret", "certificate", INGRESS, "Ingress", "spec.tls.0.secretName", "certificate"),
    ("httpRoute.enabled", True, merged(ROUTE, nested("httpRoute.enabled", False)), "HTTPRoute", "metadata.name", "demo-rillgate"),
    ("httpRoute.annotations", {"a": "b"}, ROUTE, "HTTPRoute", "metadata.annotations", {"a": "b"}),
    ("httpRoute.listener", "second", ROUTE, "HTTPRoute", "spec.rules.0.backendRefs.0.port", 8081),
    ("httpRoute.parentRefs", [{"name": "other"}], ROUTE, "HTTPRoute", "spec.parentRefs", [{"name": "other"}]),
    ("httpRoute.hostnames", ["a.example"], ROUTE, "HTTPRoute", "spec.hostnames", ["a.example"]),
    ("networkPolicy.enabled", False, {}, "NetworkPolicy", "kind", None),
    ("networkPolicy.clients", [PEER], {}, "NetworkPolicy", "spec.ingress.0.from", [PEER]),
    ("networkPolicy.admin", [PEER], {}, "NetworkPolicy", "spec.ingress.1.from", [PEER]),
    ("networkPolicy.egress", [{"to": [PEER]}], {}, "NetworkPolicy", "spec.egress.1", {"to": [PEER]}),
    ("serviceMonitor.enabled", True, {}, "ServiceMonitor", "metadata.name", "demo-rillgate"),
    ("serviceMonitor.interval", "30s", MONITORED, "ServiceMonitor", "spec.endpoints.0.interval", "30s"),
    ("serviceMonitor.labels", {"release": "prometheus"}, MONITORED, "ServiceMonitor", "metadata.labels.release", "prometheus"),
    ("podDisruptionBudget.enabled", False, {}, "PodDisruptionBudget", "kind", None),
    ("podDisruptionBudget.maxUnavailable", "10%", {}, "PodDisruptionBudget", "spec.maxUnavailable", "10%"),
    ("autoscaling.enabled", True, {}, "HorizontalPodAutoscaler", "metadata.name", "demo-rillgate"),
    ("autoscaling.minReplicas", 2, SCALED, "HorizontalPodAutoscaler", "spec.minReplicas", 2),
    ("autoscaling.maxReplicas", 30, SCALED, "HorizontalPodAutoscaler", "spec.maxReplicas", 30),
    ("autoscaling.subscribersPerPod", 2000000, SCALED, "HorizontalPodAutoscaler", "spec.metrics.0.pods.target.averageValue", "2000000"),
    ("autoscaling.scaleDownAfterSeconds", 3600, SCALED, "HorizontalPodAutoscaler", "spec.behavior.scaleDown.stabilizationWindowSeconds", 3600),
    ("resources", {"limits": {"memory": "4Gi"}}, {}, "Deployment", f"{CONTAINER}.resources.limits.memory", "4Gi"),
    ("user", 1000650000, {}, "Deployment", f"{POD}.securityContext.runAsUser", 1000650000),
    ("serviceAccountName", "gateways", {}, "Deployment", f"{POD}.serviceAccountName", "gateways"),
    ("priorityClassName", "high", {}, "Deployment", f"{POD}.priorityClassName", "high"),
    ("podAnnotations", {"a": "b"}, {}, "Deployment", "spec.template.metadata.annotations.a", "b"),
    ("podLabels", {"a": "b"}, {}, "Deployment", "spec.template.metadata.labels.a", "b"),
    ("nodeSelector", {"a": "b"}, {}, "Deployment", f"{POD}.nodeSelector", {"a": "b"}),
    ("tolerations", [TOLERATION], {}, "Deployment", f"{POD}.tolerations", [TOLERATION]),
    ("affinity", AFFINITY, {}, "Deployment", f"{POD}.affinity", AFFINITY),
    ("topologyKeys", ["rack"], {}, "Deployment", f"{POD}.topologySpreadConstraints.0.topologyKey", "rack"),
]


@pytest.mark.parametrize("value, other, beside, kind, place, expected", CHANGES, ids=[row[0] for row in CHANGES])
def test_a_value_changes_what_it_says(value, other, beside, kind, place, expected):
    before = at(render(beside).get(kind), place)

    after = at(render(merged(beside, nested(value, other))).get(kind), place)

    assert after == expected
    assert before != after


def leaves(values, path=""):
    """Returns the paths of all values; what Kubernetes defines is one value."""
    for key, value in values.items():
        name = f"{path}{key}"
        if isinstance(value, dict) and value and name != "resources":
            yield from leaves(value, f"{name}.")
        else:
            yield name


def test_every_value_is_in_the_table():
    assert sorted(leaves(defaults())) == sorted(row[0] for row in CHANGES)


def test_every_value_is_read_by_a_template():
    text = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    for leaf in leaves(defaults()):
        assert leaf.split(".")[-1] in text, leaf


def without(table, line):
    assert line in PROXIED
    return {"config": PROXIED.replace(line, table)}


# Values, and what Helm answers.
REFUSED = [
    ({"replcas": 3}, "additional properties 'replcas' not allowed"),
    ({"replicas": "three"}, "at '/replicas': got string, want integer"),
    ({"service": {"type": "ExternalName"}}, "at '/service/type': value must be one of"),
    ({"service": {"ports": {"public": 70000}}}, "at '/service/ports/public': maximum"),
    ({"user": 0}, "at '/user': minimum"),
    ({"autoscaling": {"scaleDownAfterSeconds": 7200}}, "at '/autoscaling/scaleDownAfterSeconds': maximum"),
    ({"image": {"digest": "latest"}}, "at '/image/digest'"),
    ({"podAnnotations": {"a": 1}}, "at '/podAnnotations/a': got number, want string"),
    ({"config": ""}, "at '/config': minLength"),
    ({"config": "a = = 1"}, 'config: toml: line 1 (last key "a")'),
    (without("", 'drain = { notice = "10s", spread = "20s", deadline = "30s" }'), "config: server.drain.notice is 0s (the default)"),
    (without("drain.notice = '10 s'", 'drain = { notice = "10s", spread = "20s", deadline = "30s" }'), 'config: server.drain.notice: invalid duration "10 s"'),
    (without('[admin]\naddress = "127.0.0.1:9464"', '[admin]\naddress = "0.0.0.0:9464"'), "config: admin.address: 127.0.0.1:9464 is reached only inside the pod: use 0.0.0.0:9464"),
    (without('[admin]\naddress = "[::1]:9464"', '[admin]\naddress = "0.0.0.0:9464"'), "is reached only inside the pod"),
    (without("", '[admin]\naddress = "0.0.0.0:9464"'), "config: [admin] is missing"),
    (without('[store]\n[admin]\naddress = "0.0.0.0:9464"', '[admin]\naddress = "0.0.0.0:9464"'), "config: [store]: the pods of a Deployment have no disk"),
    (without('address = "0.0.0.0:443"', 'address = "0.0.0.0:8080"'), "config: listeners[0].address: port 443: the gateway may not bind ports below 1024"),
    (without('systemd = "public"', 'address = "0.0.0.0:8081"'), "config: listeners[1].address is missing"),
    (without('address = "everywhere"', 'address = "0.0.0.0:8081"'), 'config: listeners[1].address: "everywhere" is no address with a port'),
    ({"config": '[server]\ndrain.notice = "5s"\n[admin]\naddress = "0.0.0.0:9464"'}, "config: [[listeners]] is missing"),
    ({"service": {"ports": {"https": 443}}}, "service.ports.https: no listener of the configuration has this name; it has: public"),
    (merged(INGRESS, {"ingress": {"listener": "third"}}), 'ingress.listener: no listener of the configuration is named "third"'),
    ({"ingress": {"enabled": True}}, 'ingress: the listener "public" takes the proxy for the client'),
    ({"httpRoute": {"enabled": True, "parentRefs": [{"name": "edge"}]}}, 'httpRoute: the listener "public" takes the proxy for the client'),
    ({"config": PROXIED, "httpRoute": {"enabled": True}}, "httpRoute.parentRefs: name the gateway"),
]


@pytest.mark.parametrize("values, reason", REFUSED, ids=[reason for _, reason in REFUSED])
def test_values_that_cannot_work_are_refused(values, reason):
    assert reason in refusal(values)
