"""Two ways to run the image: podman, and a chroot of its content for machines that refuse containers.

Both give the program a read-only root, no capability, a user that is not root, a bound on open files and the process id 1, on
the machine's network. `remove` ends what was started.
"""

import itertools
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

IMAGE = "localhost/rillgate"
PROGRAM = "/usr/bin/rillgate"
USER = 1234  # none that the image knows
# The default is more than a machine without CAP_SYS_RESOURCE may grant.
PROCESSES = ["--ulimit=nproc=1000:1000"]
NUMBERS = itertools.count()


class Gateway:
    """A running gateway, whose log is read line by line while it runs."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.log = []
        threading.Thread(target=lambda: self.log.extend(iter(self.process.stdout.readline, "")), daemon=True).start()

    def wait_for(self, pattern):
        """Returns the match in the first line of the log that has one, within 30 seconds."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            for line in list(self.log):
                if match := re.search(pattern, line):
                    return match
            time.sleep(0.02)
        raise AssertionError(f"no `{pattern}` in:\n{''.join(self.log)}")

    def remove(self):
        self.process.kill()
        self.process.wait()


class Podman:
    """Runs the image with podman and runc, which knows every kind of control group."""

    def __init__(self, storage):
        self.podman = ["podman", "--root", f"{storage}/images", "--runroot", f"{storage}/run", "--storage-driver", "vfs",
                       "--cgroup-manager", "cgroupfs", "--runtime", "runc"]

    def refusal(self):
        """Returns why this machine runs no container, or None."""
        run = [*self.podman, "run", "--rm", "--network=host", "--ulimit=nofile=1024:1024", *PROCESSES, IMAGE, "--version"]
        try:
            output = subprocess.run(run, capture_output=True, text=True, timeout=120)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return None if output.returncode == 0 else (output.stderr.strip().splitlines() or ["no reason given"])[-1]

    def start(self, folder, open_files):
        return PodmanGateway(self.podman, folder, open_files)


class PodmanGateway(Gateway):
    """A gateway in a container."""

    has_limits = True

    def __init__(self, podman, folder, open_files):
        self.podman, self.name = podman, f"rillgate-test-{next(NUMBERS)}"
        super().__init__([
            *podman, "run", "--rm", "--name", self.name, "--network=host", "--read-only", "--read-only-tmpfs=false",
            "--cap-drop=ALL", "--security-opt=no-new-privileges", f"--user={USER}:{USER}", "--memory=200m", "--cpus=1",
            f"--ulimit=nofile=1024:{open_files}", *PROCESSES, f"--volume={folder}:/etc/rillgate:ro", "--env=NO_COLOR=1", IMAGE,
        ])

    def pid(self):
        """Returns the process id of the gateway as this machine sees it."""
        return int(subprocess.check_output([*self.podman, "inspect", "--format", "{{.State.Pid}}", self.name], timeout=60))

    def check_health(self):
        """Runs the image's HEALTHCHECK as an engine does."""
        return subprocess.run([*self.podman, "healthcheck", "run", self.name], timeout=60).returncode

    def stop(self):
        """Sends the image's STOPSIGNAL and returns the exit status."""
        subprocess.run([*self.podman, "kill", "--signal", "TERM", self.name], check=True, capture_output=True, timeout=60)
        return self.process.wait(timeout=60)

    def remove(self):
        subprocess.run([*self.podman, "rm", "--force", "--time", "0", self.name], capture_output=True, timeout=60)
        super().remove()


class Chroot:
    """Runs the content of the image as a container would have it, without an engine."""

    def __init__(self, root):
        self.root = root

    def start(self, folder, open_files):
        return ChrootGateway(self.root, folder, open_files)


class ChrootGateway(Gateway):
    """A gateway in a chroot with namespaces for mounts and processes."""

    has_limits = False
    # The capabilities that stay in the bounding set end with the change of the user.
    SCRIPT = """set -e
        mkdir -p "$1/proc"
        mount --bind "$1" "$1"
        mount -o remount,bind,ro "$1"
        mount -t proc proc "$1/proc"
        mount --bind "$2" "$1/etc/rillgate"
        ulimit -Sn 1024
        ulimit -Hn "$3"
        exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+sys_chroot,+setuid,+setgid \\
            chroot --userspec="$4:$4" --groups= "$1" /usr/bin/rillgate serve"""

    def __init__(self, root, folder, open_files):
        self.root, self.folder = root, folder
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        super().__init__([*unshare, "sh", "-c", self.SCRIPT, "sh", root, folder, str(open_files), str(USER)])

    def pid(self):
        return int(pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def check_health(self):
        health = [PROGRAM, "health", "--live", "--config", "/etc/rillgate/rillgate.toml"]
        return subprocess.run(["nsenter", "--mount", "--root", f"--target={self.pid()}", *health], timeout=60).returncode

    def stop(self):
        os.kill(self.pid(), signal.SIGTERM)
        return self.process.wait(timeout=60)

    def remove(self):
        # The change of the user has taken away that it ends with its parent.
        if self.process.poll() is None:
            os.kill(self.pid(), signal.SIGKILL)
        super().remove()
