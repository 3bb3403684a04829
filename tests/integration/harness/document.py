"""
Commands in the documents, and what they print.  A fenced block of the kind
`console` holds commands after `$ `, their further lines after `> `, and the
output of each; `...` in it stands for anything, also for several lines.
"""

import re
import subprocess

FENCE = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)


class Step:
    """A command, the output the document shows, and its line there."""

    def __init__(self, command, line):
        self.command = command
        self.line = line
        self.output = ""


def steps(text):
    """All steps of a document, in order."""

    found = []
    for block in FENCE.finditer(text):
        line = text.count("\n", 0, block.start(1)) + 1
        for number, content in enumerate(block.group(1).splitlines(), line):
            if content.startswith("$ "):
                found.append(Step(content[2:], number))
            elif content.startswith("> "):
                found[-1].command += "\n" + content[2:]
            else:
                found[-1].output += content + "\n"
    return found


def run(command, directory, environment, seconds=60):
    """What a shell prints, on both of its outputs."""

    done = subprocess.run(
        ["bash", "-c", command], cwd=directory, env=environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=seconds, check=False)
    return done.stdout.decode(errors="replace")


def matches(shown, printed):
    """Is it what the document shows?"""

    def tidy(text):
        lines = text.replace("\r", "").strip().splitlines()
        return "\n".join(line.rstrip() for line in lines)

    pattern = ".*".join(map(re.escape, tidy(shown).split("...")))
    return re.fullmatch(pattern, tidy(printed), re.S) is not None
