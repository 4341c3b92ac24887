"""The chart as a whole: lint, Kubernetes' schemas, computed times, what is safe by default, and the gateway's own check."""

import functools
import json
import re
import tomllib

import helm_python as helm
import kubernetes_validate
import pytest
import yaml
from chart import CHART, ROOT, at, make_certificate, merged, notes, render, rillgate
from test_values import BALANCED, CHANGES, INGRESS, MONITORED, PROXIED, ROUTE, SCALED, nested

# The oldest version that Chart.yaml admits, and the newest one that there are schemas for.
OLDEST, NEWEST = "1.27", "1.37"

# The kinds for which Kubernetes itself has no schema; their shape is compared below.
FOREIGN = {"ServiceMonitor", "HTTPRoute"}

# Read once and not for each object: the definitions of a version have megabytes.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)

POD = "spec.template.spec"


def metadata():
    return yaml.safe_load((CHART / "Chart.yaml").read_text())


def every_change():
    """Returns the defaults, and the chart with each of its values changed."""
    return [{}] + [merged(beside, nested(value, other)) for value, other, beside, *_ in CHANGES]


def configured(notice="10s", spread="20s", deadline="30s", more=""):
    drain = f'drain = {{ notice = "{notice}", spread = "{spread}", deadline = "{deadline}" }}'
    return {"config": PROXIED.replace('drain = { notice = "10s", spread = "20s", deadline = "30s" }', drain) + more}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_helm_has_nothing_to_remark(version):
    report = helm.lint(CHART, {}, strict=True, kube_version=f"v{version}.0")

    remarks = [message["error"] for message in report["messages"]]
    assert (report["errors"], remarks) == ([], ["icon is recommended"])


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_follows_the_schema_of_kubernetes(version):
    kinds, valid = set(), set()
    for values in every_change() + [merged(INGRESS, ROUTE, MONITORED, SCALED, BALANCED)]:
        for kind, document in render(values).items():
            kinds.add(kind)
            # Most values change one object of several.
            text = json.dumps(document)
            if kind not in FOREIGN and text not in valid:
                kubernetes_validate.validate(document, version, strict=True)
                valid.add(text)
    assert len(kinds) == 10, kinds


def test_the_schemas_tell_a_wrong_object():
    document = render()["Deployment"]
    document["spec"]["replica"] = 3

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, NEWEST, strict=True)


def test_the_claimed_versions_are_those_that_are_validated():
    assert metadata()["kubeVersion"] == f">={OLDEST}.0-0"
    assert kubernetes_validate.latest_version().startswith(NEWEST)


def test_the_chart_has_the_version_of_the_program():
    package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]

    assert (metadata()["version"], metadata()["appVersion"]) == (package["version"], package["version"])


def test_the_objects_of_other_projects_have_the_shape_that_those_define():
    objects = render(merged(ROUTE, MONITORED))

    monitor = objects["ServiceMonitor"]
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert set(monitor["spec"]) == {"selector", "endpoints"}
    assert monitor["spec"]["endpoints"] == [
        {"port": "admin", "path": "/metrics", "interval": "15s", "relabelings": [{"targetLabel": "job", "replacement": "rillgate"}]}
    ]
    service = objects["AdminService"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert not monitor["spec"]["selector"]["matchLabels"].items() <= objects["Service"]["metadata"]["labels"].items()
    assert service["spec"]["ports"][0]["name"] == "admin"

    route = objects["HTTPRoute"]
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert route["spec"] == {
        "parentRefs": [{"name": "edge"}],
        "rules": [{"backendRefs": [{"name": "demo-rillgate", "port": 8080}], "timeouts": {"request": "0s"}}],
    }


# notice, spread, deadline; grace period, pause of a rollout, time for progress, pause of scaling down
TIMES = [
    ("10s", "20s", "30s", 45, 30, 600, 300),
    ("5s", "0s", "10ms", 11, 5, 600, 300),
    ("1.5m", "20s", "30.2s", 126, 110, 600, 300),
    ("5000ms", "10m", "20m", 1210, 605, 905, 1205),
    ("1h", "1h", "1h", 7205, 7200, 7500, 1800),
]


@pytest.mark.parametrize("notice, spread, deadline, grace, pause, progress, scaling", TIMES)
def test_times_are_computed_from_the_drain(notice, spread, deadline, grace, pause, progress, scaling):
    objects = render(merged(configured(notice, spread, deadline), SCALED))

    deployment = objects["Deployment"]
    assert at(deployment, f"{POD}.terminationGracePeriodSeconds") == grace
    assert at(deployment, "spec.minReadySeconds") == pause
    assert at(deployment, "spec.progressDeadlineSeconds") == progress
    policies = at(objects["HorizontalPodAutoscaler"], "spec.behavior.scaleDown.policies")
    assert policies == [{"type": "Pods", "value": 1, "periodSeconds": scaling}]


def test_absent_times_are_the_defaults_of_the_program():
    schema = json.loads(rillgate("schema").stdout)
    drain = schema["properties"]["server"]["properties"]["drain"]["properties"]
    program = {key: drain[key]["default"] for key in ("spread", "deadline")}
    config = PROXIED.replace(', spread = "20s", deadline = "30s"', "")
    assert config != PROXIED

    absent, written = (render(values)["Deployment"]["spec"] for values in ({"config": config}, configured(**program)))

    assert absent["minReadySeconds"] == written["minReadySeconds"]
    assert at(absent, "template.spec.terminationGracePeriodSeconds") == at(written, "template.spec.terminationGracePeriodSeconds")


def digest(config):
    return at(render({"config": config})["Deployment"], "spec.template.metadata.annotations.rillgate/restart-digest")


@pytest.mark.parametrize(
    "old, new",
    [
        ('notice = "10s"', 'notice = "11s"'),
        ("[server]", "[server]\nworkers = 2"),
        ("0.0.0.0:8081", "0.0.0.0:8082"),
        ("0.0.0.0:9464", "0.0.0.0:9465"),
        ("[admin]", '[log]\nsubject = true\n[admin]'),
        ("[admin]", "[revocations]\nentries = 5\n[admin]"),
        ("[admin]", '[cluster]\nurls = ["nats://n:4222"]\n[admin]'),
    ],
)
def test_what_only_a_restart_changes_replaces_the_pods(old, new):
    assert digest(PROXIED.replace(old, new)) != digest(PROXIED)


def test_what_a_reload_changes_leaves_the_pods():
    assert digest(PROXIED + '\n[limits]\nstreams = 5\n[upstreams.a]\nurls = ["http://a"]') == digest(PROXIED)


def test_without_watching_every_change_replaces_the_pods():
    unwatched = PROXIED.replace("[server]", "[server]\nwatch = false")

    assert digest(unwatched + "\n[limits]\nstreams = 5") != digest(unwatched)


def test_the_program_has_no_other_table_that_needs_a_restart():
    source = (ROOT / "src/config/reload_diff.rs").read_text().split("fn restart_only_changes")[1].split("];")[0]

    tables = set(re.findall(r'\("([a-z.]+)", ', source))

    # The chart refuses [store].
    assert tables == {"server", "store", "cluster", "log", "revocations.entries", "listeners", "admin"}


def test_a_gateway_may_do_nothing_that_it_does_not_need():
    pod = at(render()["Deployment"], POD)

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["readOnly"] for mount in pod["containers"][0]["volumeMounts"]} == {True}
    assert "hostNetwork" not in pod and "lifecycle" not in pod["containers"][0]


def test_a_platform_may_choose_the_user():
    context = at(render({"user": None})["Deployment"], f"{POD}.securityContext")

    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_the_admin_port_is_in_no_service_for_clients_and_closed_to_strangers():
    objects = render(merged(BALANCED, MONITORED))

    ports = {port["targetPort"] for port in at(objects["Service"], "spec.ports")}
    assert ports == {"public"}
    assert at(objects["AdminService"], "spec.clusterIP") == "None"
    for rule in at(objects["NetworkPolicy"], "spec.ingress"):
        assert {"port": 9464} not in rule["ports"] or rule["from"]
    closed = render({"networkPolicy": {"admin": []}})["NetworkPolicy"]
    assert at(closed, "spec.ingress") == [{"ports": [{"port": 8080}]}]


def test_probes_ask_the_admin_port():
    container = at(render(), f"Deployment.{POD}.containers.0")

    asked = {name: container[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert asked == {
        "startupProbe": {"path": "/livez", "port": "admin"},
        "readinessProbe": {"path": "/readyz", "port": "admin"},
        "livenessProbe": {"path": "/livez", "port": "admin"},
    }
    assert {"name": "admin", "containerPort": 9464} in container["ports"]


def test_a_gateway_never_leaves_before_its_successor_is_ready():
    deployment = render()["Deployment"]

    assert at(deployment, "spec.strategy.rollingUpdate") == {"maxUnavailable": 0, "maxSurge": 1}
    assert "replicas" not in render(SCALED)["Deployment"]["spec"]


def test_ports_have_names_that_kubernetes_accepts():
    config = PROXIED.replace('"public"', '"Öffentlich und lang"').replace('"second"', '"admin"')

    names = [port["name"] for port in at(render({"config": config}), f"Deployment.{POD}.containers.0.ports")]

    assert names == ["listener-0", "listener-1", "admin"]


def test_the_notes_say_what_was_computed_and_what_is_doubtful():
    text = notes()
    assert "at most 40 s" in text and "waits 30 s" in text and "allows 110128" in text
    assert "several gateways without [cluster]" in text

    text = notes(merged(configured(more='[cluster]\nurls = ["nats://n:4222"]\n'), {"resources": {"limits": None}}))
    assert "several gateways" not in text
    assert "resources.limits.memory is not set" in text


def test_the_default_configuration_passes_the_check(tmp_path):
    check(render()["ConfigMap"], tmp_path)


def check(config_map, folder, **environment):
    """Has the program check a rendered configuration. Files of secrets are those of the folder."""
    file = folder / "rillgate.toml"
    file.write_text(config_map["data"]["rillgate.toml"].replace("/secrets/", f"{folder}/"))
    result = rillgate("check", "--config", str(file), **environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def blocks(page, kind):
    """Returns the blocks of that kind on a page."""
    return re.findall(rf"```{kind}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def test_the_documented_installation_is_valid(tmp_path):
    config, *_ = blocks("docs/kubernetes.md", "toml")
    values = yaml.safe_load(blocks("docs/kubernetes.md", "yaml")[0])
    make_secrets(tmp_path)

    objects = render(merged({"config": config}, values))

    summary = check(objects["ConfigMap"], tmp_path, NATS_PASSWORD="secret")
    assert "0.0.0.0:8443" in summary
    for document in objects.values():
        kubernetes_validate.validate(document, NEWEST, strict=True)
    text = (ROOT / "docs/kubernetes.md").read_text()
    pause = at(objects["Deployment"], "spec.minReadySeconds")
    assert f"{3 * pause + 10} s for three with the\ntimes above" in text


def make_secrets(folder):
    """Makes the files that the secrets of docs/kubernetes.md would have."""
    (folder / "tls").mkdir()
    make_certificate(folder / "tls")
    (folder / "tls/server.pem").rename(folder / "tls/tls.crt")
    (folder / "tls/server.key.pem").rename(folder / "tls/tls.key")
    (folder / "cluster").mkdir()
    (folder / "cluster/key").write_text("k" * 44)


def test_the_rollout_is_simulated_with_the_times_of_the_chart():
    source = (ROOT / "tests/cluster/system/rollout.rs").read_text()
    simulated = {name: int(value) for name, value in re.findall(r"^const (\w+): u32 = (\d+);", source, re.MULTILINE)}
    deployment = render()["Deployment"]
    drain = tomllib.loads(render()["ConfigMap"]["data"]["rillgate.toml"])["server"]["drain"]

    assert simulated == {
        "NOTICE": int(drain["notice"].removesuffix("s")),
        "SPREAD": int(drain["spread"].removesuffix("s")),
        "DRAIN_DEADLINE": int(drain["deadline"].removesuffix("s")),
        "GRACE": at(deployment, f"{POD}.terminationGracePeriodSeconds"),
        "PAUSE": at(deployment, "spec.minReadySeconds"),
    }
