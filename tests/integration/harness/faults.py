"""
Programs that lack one safeguard (make fault-NAME, tests/README.md): what a
test sees on them tells whether it would see the safeguard fail.
"""

import os
import subprocess

from .pipeline import REPO, Pipeline


def build(name, program):
    """Build one program without the safeguard of this name; its path."""

    folder = f"build-fault-{name}"
    env = {key: value for key, value in os.environ.items()
           if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "BUILD",
                          "SANITIZE")}
    done = subprocess.run(
        ["make", "-s", f"-j{os.cpu_count()}", f"BUILD={folder}",
         f"FAULT={name}", f"{folder}/{program}"],
        cwd=REPO, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return os.path.join(REPO, folder, program)


class Faulty(Pipeline):
    """A pipeline some of whose programs are those: {program: path}."""

    faults = {}

    def _binary(self, name):
        return self.faults.get(name) or super()._binary(name)
