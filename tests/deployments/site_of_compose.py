"""The gateways, the engine and the balancer of the Compose file, with its configurations and without containers.

Only addresses and folders are replaced. Every program has a loopback address of this process, so that no port is taken.
"""

import contextlib
import http.client
import http.server
import itertools
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request

from chart import ROOT, make_certificate, program

DEPLOY = ROOT / "deploy"
DEADLINE = 30


def address(number):
    """Returns a loopback address that no other process uses."""
    return f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}.{number}"


def free_port(host):
    with socket.create_server((host, 0)) as server:
        return server.getsockname()[1]


def eventually(fact, what):
    """Waits until something is true, and returns it."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if found := fact():
                return found
        time.sleep(0.05)
    raise AssertionError(f"not within {DEADLINE} s: {what}")


def status(url):
    try:
        return urllib.request.urlopen(url, timeout=DEADLINE).status
    except urllib.error.HTTPError as error:
        return error.code


class Producer(http.server.BaseHTTPRequestHandler):
    """Sends an event with an id ten times a second, after the one that it is asked to resume after."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        first = int(self.headers.get("last-event-id") or 0) + 1
        with contextlib.suppress(OSError):
            for number in itertools.count(first):
                self.wfile.write(f"id: {number}\ndata: event {number}\n\n".encode())
                time.sleep(0.1)

    def log_message(self, *_):
        """Says nothing."""


class Site:
    """Everything that runs. Ends with the `with` block."""

    def __init__(self, folder):
        self.folder = folder
        self.running = {}
        self.producer = http.server.ThreadingHTTPServer((address(1), 0), Producer)
        self.producer.daemon_threads = True
        self.clients, self.admin = free_port(address(11)), free_port(address(11))
        self.public = (address(2), free_port(address(2)))
        self.engine = (address(3), free_port(address(3)))

    def __enter__(self):
        threading.Thread(target=self.producer.serve_forever, daemon=True).start()
        make_certificate(self.folder)
        (self.folder / "cluster.key").write_bytes(bytes(32))
        try:
            self.start_engine()
            for number in (1, 2, 3):
                self.start_gateway(number)
            for number in (1, 2, 3):
                eventually(lambda: self.readiness(number) == 200, f"gateway {number} is ready")
            self.start_balancer()
        except BaseException as error:
            error.add_note("\n".join(f"{name}:\n{self.log(name)}" for name in self.running))
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.running.values():
            process.kill()
            process.wait()
        self.producer.shutdown()
        self.producer.server_close()

    def start(self, name, *command):
        with (self.folder / f"{name}.log").open("wb") as log:
            environment = {**os.environ, "PATH": os.environ["PATH"] + os.pathsep + "/usr/sbin"}
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()

    def write(self, source, name, *replacements):
        """Writes a configuration of the Compose file with other addresses, each of which it has to have."""
        text = (DEPLOY / "compose" / source).read_text()
        for old, new in replacements:
            assert old in text, f"{source}: no {old}"
            text = text.replace(old, new)
        (self.folder / name).write_text(text)
        return self.folder / name

    def start_engine(self):
        host, port = self.engine
        health = f"{host}:{free_port(host)}"
        replacements = [("port: 4222", f"host: {host}\nport: {port}"), ("http: 8222", f"http: {health}")]
        replacements.append(("/data", str(self.folder / "store")))
        server = ROOT / "target/tools/nats-2.15.1/bin/nats-server"
        self.start("nats", server, "-c", self.write("nats.conf", "nats.conf", *replacements))
        eventually(lambda: status(f"http://{health}/healthz") == 200, "the engine is healthy")

    def start_gateway(self, number):
        host = address(10 + number)
        producer = "{}:{}".format(*self.producer.server_address)
        file = self.write(
            "rillgate/rillgate.toml",
            f"gateway-{number}.toml",
            ("0.0.0.0:8443", f"{host}:{self.clients}"),
            ("0.0.0.0:9464", f"{host}:{self.admin}"),
            ("nats:4222", "{}:{}".format(*self.engine)),
            ("/run/secrets", str(self.folder)),
            ("host.docker.internal:9000", producer),
            ('"10.0.0.0/8"', '"127.0.0.0/8"'),
        )
        self.start(f"gateway-{number}", program(), "serve", "--config", file)

    def start_balancer(self):
        replacements = [("bind :8443", "bind {}:{}".format(*self.public)), (":8443", f":{self.clients}")]
        # Not every machine allows as many open files as the Compose file asks for.
        replacements += [("port 9464", f"port {self.admin}"), ("maxconn 30000", "maxconn 100")]
        for number in (1, 2, 3):
            replacements.append((f" gateway-{number}:", f" {address(10 + number)}:"))
        self.start("haproxy", "haproxy", "-db", "-f", self.write("haproxy.cfg", "haproxy.cfg", *replacements))
        eventually(lambda: socket.create_connection(self.public).close() is None, "the balancer listens")

    def readiness(self, number):
        return status(f"http://{address(10 + number)}:{self.admin}/readyz")

    def gateway(self, number):
        return address(10 + number), self.clients

    def subscribe(self, last_event_id=None, source="127.0.0.1", at=None):
        """Opens a stream through the balancer, or at a gateway as the balancer would."""
        plain = socket.create_connection(at or self.public, DEADLINE, source_address=(source, 0))
        if at:
            plain.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\n")
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        connection = http.client.HTTPConnection("localhost")
        connection.sock = context.wrap_socket(plain, server_hostname="localhost")
        headers = {"last-event-id": last_event_id} if last_event_id else {}
        connection.request("GET", "/events/a", headers=headers)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        return response

    def drain(self, number):
        """Tells a gateway to end."""
        self.running[f"gateway-{number}"].send_signal(signal.SIGTERM)
