"""A Debian system in a directory, entered by chroot; made by
scripts/debian-root and gone at the end.  Needs root."""

import os
import shutil
import signal
import subprocess

REPO = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


class DebianRoot:
    """
    with DebianRoot("bookworm", tmp_path / "root") as root:
        root.install("nginx")
        root.run("nginx", "-t")
        root.start("/usr/sbin/nginx", "-g", "daemon off;")
    """

    def __init__(self, suite, directory):
        self.directory = str(directory)
        self.children = []
        subprocess.run(
            [os.path.join(REPO, "scripts/debian-root"), suite,
             self.directory], check=True, timeout=600)
        self._mounted = []
        for kind in "proc", "sysfs":
            target = self.path("/proc" if kind == "proc" else "/sys")
            subprocess.run(["mount", "-t", kind, kind, target], check=True)
            self._mounted.append(target)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for child in reversed(self.children):
            self.stop(child)
        for target in reversed(self._mounted):
            subprocess.run(["umount", target], check=True)
        self._mounted = []
        shutil.rmtree(self.directory)

    def path(self, inside):
        return self.directory + inside

    def read(self, inside):
        with open(self.path(inside)) as file:
            return file.read()

    def write(self, inside, text, mode="w"):
        with open(self.path(inside), mode) as file:
            file.write(text)

    def copy(self, outside, inside):
        shutil.copy(outside, self.path(inside))

    def exists(self, inside):
        return os.path.lexists(self.path(inside))

    def run(self, *command, ok=True, timeout=600, **environment):
        """What it wrote; with ok, it must succeed."""
        done = subprocess.run(
            self._command(command, environment), text=True, timeout=timeout,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        if ok:
            assert done.returncode == 0, f"{command}:\n{done.stdout}"
        return done.stdout

    def start(self, *command, user="root", **environment):
        """A process that runs until stop() or close()."""
        name = os.path.basename(command[0])
        with open(self.path(f"/var/log/{name}.test.log"), "ab") as log:
            child = subprocess.Popen(
                self._command(command, environment, user), stdout=log,
                stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True)
        self.children.append(child)
        return child

    def stop(self, child, how=signal.SIGTERM, seconds=30):
        """Its exit status; what it started goes with it in any case."""
        if child.poll() is None:
            child.send_signal(how)
        try:
            return child.wait(seconds)
        finally:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()
            if child in self.children:
                self.children.remove(child)

    def install(self, *packages):
        return self.run(
            "apt-get", "install", "-y", "-q", "--no-install-recommends",
            *packages)

    def _command(self, command, environment, user="root"):
        variables = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
                    "/sbin:/bin",
            "HOME": "/root", "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive", **environment}
        # exec: the child is the program itself, so that signals reach it.
        return ["chroot", f"--userspec={user}" if user != "root"
                else "--userspec=0:0", self.directory, "env", "-i",
                *(f"{key}={value}" for key, value in variables.items()),
                *command]
