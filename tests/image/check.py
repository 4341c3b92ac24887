#!/usr/bin/env python3
"""Checks the image that tests/image/build has built, and runs it.

    tests/image/check.py FOLDER                          FOLDER as given to tests/image/build
    IMAGE_ENGINE=chroot tests/image/check.py FOLDER      without podman

Prints each fact that holds. A line that begins with `not run: ` says what this machine refuses. Needs root, as buildah does
here, and Python's standard library alone.
"""

import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import urllib.request

from engines import IMAGE, PROGRAM, USER, Chroot, Podman
from streams import Producer, drained_clients

LARGEST = 40 * 1024 * 1024
OPEN_FILES = 10_000
CLIENTS = 500
REPOSITORY = pathlib.Path(__file__).parent.parent.parent
# Besides the program: what names the user, how names are resolved, and which authorities are trusted.
FILES = {"usr/bin/rillgate", "etc/group", "etc/passwd", "etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt"}
LIBRARY = re.compile(r"(usr/)?lib(64)?/(.*/)?(ld-linux-.*\.so\.\d|lib(c|m|gcc_s|dl|rt|pthread)\.so\.\d)")

CONFIGURATION = """
[server]
drain = {{ notice = "0s", spread = "3s", deadline = "30s" }}
[admin]
address = "127.0.0.1:{admin}"
[limits]
connections_per_ip = 2000
subscriptions_per_ip = 2000
[[listeners]]
address = "127.0.0.1:0"
tls = {{ certificates = [{{ chain = "server.pem", key = "server.key.pem" }}] }}
[upstreams.producer]
urls = ["http://127.0.0.1:{port}"]
[[routes]]
name = "all"
path = "/{{name}}"
upstream = "producer"
auth = "public"
"""


def fact(holds, words):
    """Prints what holds, and ends the program where it does not."""
    if not holds:
        raise AssertionError(f"it does not hold: {words}")
    print(f"ok: {words}", flush=True)


def check_content(root):
    """The image has nothing but the program and what it needs."""
    files = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file() and not path.is_symlink()}
    others = sorted(name for name in files if name not in FILES and not LIBRARY.fullmatch(name))
    fact(not others and FILES <= files.keys(), f"the image has the program, what it links, and {len(FILES) - 1} files: {others}")
    size = sum(path.stat().st_size for path in files.values())
    fact(size < LARGEST, f"the image has {size / 2**20:.1f} of {LARGEST / 2**20:.0f} MiB")
    special = [name for name, path in files.items() if path.stat().st_mode & 0o6002]
    fact(not special, f"no file changes the user or is writable by all: {special}")
    owner = (root / "var/lib/rillgate").stat().st_uid
    fact(owner == 65532, f"the folder for event logs belongs to the image's user: {owner}")


def check_settings(buildah):
    """What an engine reads from the image."""
    inspected = json.loads(subprocess.check_output([*buildah, "inspect", "--type", "image", IMAGE]))["Docker"]["config"]
    manifest = (REPOSITORY / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.*)"', manifest, re.MULTILINE).group(1)
    labels = inspected["Labels"]
    fact(labels["org.opencontainers.image.version"] == version, f"the version is that of Cargo.toml: {version}")
    fact(labels["org.opencontainers.image.licenses"] == "Apache-2.0", "the labels name the licence")
    fact(inspected["User"] == "65532:65532", "the user is a number, and not root's")
    fact(inspected["StopSignal"] == "SIGTERM", "the signal that ends it is one that drains")
    fact(inspected["Entrypoint"] == [PROGRAM] and inspected["Cmd"] == ["serve"], "it serves without arguments")
    fact("--live" in inspected["Healthcheck"]["Test"], "its health is that of /livez")


def free_port():
    """Returns a port for the admin's, whose number the health check reads from the configuration."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def folder_for(producer, folder):
    """Writes the configuration and a certificate, readable for the container's user."""
    shutil.copy(REPOSITORY / "certs/generate.sh", folder)
    subprocess.run(["bash", f"{folder}/generate.sh"], check=True, stdout=subprocess.DEVNULL)
    pathlib.Path(folder, "rillgate.toml").write_text(CONFIGURATION.format(port=producer.port, admin=free_port()))
    os.chmod(folder, 0o755)
    for path in pathlib.Path(folder).iterdir():
        path.chmod(0o644)
    return folder


def metric(port, name):
    """Returns the value of a metric at the admin port."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as response:
        lines = response.read().decode().splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def check_running(engine):
    """A gateway in the image, from its start to its drain."""
    with Producer() as producer, tempfile.TemporaryDirectory() as temporary:
        folder = folder_for(producer, temporary)
        gateway = engine.start(folder, OPEN_FILES)
        try:
            public = int(gateway.wait_for(r"listening.*127\.0\.0\.1:(\d+).*tls=true").group(1))
            admin = int(gateway.wait_for(r"listening.*127\.0\.0\.1:(\d+).*admin").group(1))
            check_process(gateway, admin)
            fact(gateway.check_health() == 0, "the health check exits 0")
            curl = ["curl", "--silent", "--http2", "--max-time", "30", "--cacert", f"{folder}/ca.pem",
                    f"https://localhost:{public}/a?limit=3"]
            body = subprocess.check_output(curl, text=True)
            fact(body.count("data: whole ") == 3, "a stream is read through it over HTTP/2 and TLS")
            trust = ssl.create_default_context(cafile=f"{folder}/ca.pem")
            drained = drained_clients(public, trust, CLIENTS, gateway.stop)
            fact(drained.status == 0, "SIGTERM to the process 1 drains, and it exits 0")
            fact(drained.halves == 0, f"{CLIENTS} clients got {drained.events} events and not half a one")
            fact(drained.missing == 0, "no client missed an event before its end")
        finally:
            gateway.remove()


def check_process(gateway, admin):
    """The rights and bounds of the process, as the kernel has them."""
    process = pathlib.Path(f"/proc/{gateway.pid()}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    fact(set(status["Uid"].split()) == {str(USER)}, "it runs as the user that it was given")
    fact(int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0, "it has no capability")
    fact(status["NSpid"].split()[-1] == "1", "it is the process 1")
    children = "".join(path.read_text() for path in process.glob("task/*/children"))
    fact(not children.strip(), "it has no children that it would have to reap")
    root = next(line.split() for line in (process / "mountinfo").read_text().splitlines() if line.split()[4] == "/")
    fact("ro" in root[5].split(","), "its root is read-only")
    gateway.wait_for(f"open_files={OPEN_FILES}")
    fact(True, f"it raises its limit on open files to the {OPEN_FILES} that it may have")
    if gateway.has_limits:
        names = [path.read_text().strip() for path in process.glob("task/*/comm")]
        workers = sum(name.startswith("worker-") for name in names)
        fact(workers == 1, f"it has one worker with --cpus=1 on a machine with {os.cpu_count()}")
        limit = metric(admin, 'rillgate_limit{limit="memory_bytes"}')
        share = limit / (200 * 2**20)
        fact(0.79 < share < 0.81, f'its memory = "80%" is {share:.2f} of --memory=200m')


def main():
    storage = pathlib.Path(sys.argv[1]).resolve()
    buildah = ["buildah", "--root", f"{storage}/images", "--runroot", f"{storage}/run", "--storage-driver", "vfs"]
    check_settings(buildah)
    content = subprocess.check_output([*buildah, "from", IMAGE], text=True).strip()
    try:
        root = pathlib.Path(subprocess.check_output([*buildah, "mount", content], text=True).strip())
        check_content(root)
        engine = Podman(storage)
        refusal = "IMAGE_ENGINE=chroot" if os.environ.get("IMAGE_ENGINE") == "chroot" else engine.refusal()
        if refusal:
            print(f"not run: the image in a container with limits, but in a chroot without ({refusal})", flush=True)
            engine = Chroot(str(root))
        check_running(engine)
    finally:
        subprocess.run([*buildah, "rm", content], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
