"""The chart rendered by Helm's own engine.

No cluster is asked: what needs one (whether the API server accepts an object, whether a metrics adapter has the metric) is not
tested.
"""

import functools
import os
import shutil
import subprocess
from pathlib import Path

import helm_python as helm
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/rillgate"

# libyaml's, which takes a tenth of the time.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

RENDERED_AS = {"name": "demo", "namespace": "prod"}


@functools.cache
def loaded():
    """Returns the chart, which is read once."""
    return helm.Chart.load(CHART)


def defaults():
    """Returns values.yaml."""
    return yaml.safe_load((CHART / "values.yaml").read_text())


def render(values=None):
    """Renders the chart. Returns its objects by kind; the service of the admin port is the kind `AdminService`."""
    objects = {}
    for name, text in loaded().render(values or {}, **RENDERED_AS).items():
        if name.endswith(".yaml"):
            for document in filter(None, yaml.load_all(text, LOADER)):
                is_admin = document["kind"] == "Service" and document["metadata"]["name"].endswith("-admin")
                kind = "AdminService" if is_admin else document["kind"]
                assert kind not in objects, f"two objects of the kind {kind}"
                objects[kind] = document
    return objects


def notes(values=None):
    """Returns what `helm install` prints."""
    return loaded().render(values or {}, **RENDERED_AS)["rillgate/templates/NOTES.txt"]


def refusal(values):
    """Returns the message with which Helm refuses these values."""
    try:
        render(values)
    except helm.HelmError as error:
        return str(error)
    raise AssertionError(f"accepted: {values}")


def at(document, path):
    """Returns what is at `spec.ports.0.port` in a document, and `None` where there is nothing."""
    for step in path.split("."):
        if document is None:
            return None
        if isinstance(document, list):
            document = document[int(step)] if int(step) < len(document) else None
        else:
            # A key may have dots, which are written as `~`.
            document = document.get(step.replace("~", "."))
    return document


def merged(*parts):
    """Merges values as Helm does: maps by key, everything else as a whole."""
    result = {}
    for part in parts:
        for key, value in part.items():
            both_are_maps = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both_are_maps else value
    return result


def nested(path, value):
    """Returns `{"a": {"b": value}}` for the path `a.b`."""
    for step in reversed(path.split(".")):
        value = {step: value}
    return value


def make_certificate(folder):
    """Makes server.pem and server.key.pem in the folder."""
    # The script makes them beside itself.
    script = shutil.copy(ROOT / "certs/generate.sh", folder)
    subprocess.run(["bash", script], check=True, capture_output=True)


def program():
    """Returns the program under test."""
    return os.environ.get("RILLGATE_BIN", ROOT / "target/debug/rillgate")


def rillgate(*arguments, **environment):
    """Runs the program under test to its end."""
    environment = {**os.environ, **environment}
    return subprocess.run([program(), *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment)
