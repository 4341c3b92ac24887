"""The Compose file and the configurations beside it, each with the program that reads it. No container is started;
`test_compose_site.py` runs the programs without."""

import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml
from chart import ROOT, make_certificate, rillgate

DEPLOY = ROOT / "deploy"

# What compose/README.md has people make.
MADE = {DEPLOY / "compose/cluster.key", ROOT / "certs/server.pem", ROOT / "certs/server.key.pem"}

# Debian keeps servers where a user's shell does not look.
PATH = os.environ["PATH"] + os.pathsep + "/usr/sbin"


def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def configuration():
    return tomllib.loads((DEPLOY / "compose/rillgate/rillgate.toml").read_text())


def gateways():
    return [name for name in compose()["services"] if name.startswith("gateway-")]


def run(*command, folder=DEPLOY):
    result = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": PATH}, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_file_follows_the_schema_of_compose():
    run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")


def test_every_file_that_a_container_sees_exists():
    sources = [secret["file"] for secret in compose()["secrets"].values()]
    for service in compose()["services"].values():
        sources += [volume.split(":")[0] for volume in service.get("volumes", []) if volume.startswith(".")]
    assert len(sources) > 8

    for source in {(DEPLOY / source).resolve() for source in sources} - MADE:
        assert source.exists(), source


def test_every_image_has_a_version_or_is_built_here():
    for name, service in compose()["services"].items():
        assert "build" in service or re.search(r":v?\d+\.\d+", service["image"]), name
    dockerfile = DEPLOY / ".." / compose()["x-gateway"]["build"]["dockerfile"]
    assert dockerfile.exists()


def test_the_gateways_configuration_passes_the_check(tmp_path):
    make_certificate(tmp_path)
    (tmp_path / "cluster.key").write_bytes(bytes(32))
    text = (DEPLOY / "compose/rillgate/rillgate.toml").read_text()
    (tmp_path / "rillgate.toml").write_text(text.replace("/run/secrets", str(tmp_path)))

    result = rillgate("check", "--config", str(tmp_path / "rillgate.toml"))

    assert result.returncode == 0, result.stdout + result.stderr
    named = set(re.findall(r"/run/secrets/([\w.]+)", text))
    assert named == set(compose()["x-gateway"]["secrets"])


def test_a_gateway_has_the_time_that_its_drain_takes():
    drain = configuration()["server"]["drain"]
    notice, deadline = (int(drain[key].removesuffix("s")) for key in ("notice", "deadline"))

    assert compose()["x-gateway"]["stop_grace_period"] == f"{notice + deadline + 5}s"


def test_the_balancer_notices_a_drain_in_time():
    text = (DEPLOY / "compose/haproxy.cfg").read_text()
    interval, failures = map(int, re.search(r"inter (\d+)s fall (\d+)", text).groups())

    notice = int(configuration()["server"]["drain"]["notice"].removesuffix("s"))
    assert interval * failures < notice


def test_the_balancer_accepts_its_configuration():
    run("haproxy", "-c", "-f", "compose/haproxy.cfg")


def test_the_engine_accepts_its_configuration():
    run(ROOT / "target/tools/nats-2.15.1/bin/nats-server", "-t", "-c", "compose/nats.conf")


def test_prometheus_accepts_its_configuration(tmp_path):
    for file in ("compose/prometheus.yml", "prometheus/recording.yml", "prometheus/alerts.yml"):
        shutil.copy(DEPLOY / file, tmp_path)

    run("promtool", "check", "config", "prometheus.yml", folder=tmp_path)


@pytest.mark.parametrize("file", ["compose/haproxy.cfg", "compose/prometheus.yml"])
def test_every_gateway_is_named(file):
    text = (DEPLOY / file).read_text()

    assert len(gateways()) == 3
    assert set(re.findall(r"gateway-\d", text)) == set(gateways())


def test_ports_are_those_of_the_configuration():
    listener = configuration()["listeners"][0]["address"].split(":")[1]
    admin = configuration()["admin"]["address"].split(":")[1]
    balancer = (DEPLOY / "compose/haproxy.cfg").read_text()

    assert set(re.findall(r"gateway-\d:(\d+)", balancer)) == {listener}
    assert re.search(r"check port (\d+)", balancer)[1] == admin
    assert set(re.findall(r"gateway-\d:(\d+)", (DEPLOY / "compose/prometheus.yml").read_text())) == {admin}


def test_only_the_balancer_is_published_to_others():
    published = {name: service["ports"] for name, service in compose()["services"].items() if "ports" in service}

    assert published.pop("balancer") == ["8443:8443"]
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports), published


def test_grafana_finds_source_and_dashboard():
    service = compose()["services"]["grafana"]
    mounts = dict(reversed(volume.removesuffix(":ro").split(":")) for volume in service["volumes"])
    sources = yaml.safe_load((DEPLOY / mounts["/etc/grafana/provisioning/datasources/rillgate.yml"]).read_text())
    providers = yaml.safe_load((DEPLOY / mounts["/etc/grafana/provisioning/dashboards/rillgate.yml"]).read_text())

    assert sources["datasources"][0]["url"] == "http://prometheus:9090"
    dashboard = service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert dashboard in mounts
    assert dashboard.startswith(providers["providers"][0]["options"]["path"])
