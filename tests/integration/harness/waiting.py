"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

import os
import time

# How many times as long as usual things may take: where much else goes on.
PATIENCE = float(os.environ.get("MILLRACE_PATIENCE", "1"))


class Deadline(AssertionError):
    """The condition did not come true in time."""


def wait_until(condition, seconds, what, interval=0.05):
    """
    Call `condition` until it returns something true, and return that.

    `what` says what is awaited; it may be a callable, which is asked when the
    deadline has passed, so that it can report the last state seen.  An
    exception of the condition counts as "not yet", and is shown at the end.
    MILLRACE_PATIENCE multiplies the seconds.
    """

    seconds *= PATIENCE
    end = time.monotonic() + seconds
    problem = None

    while True:
        try:
            value = condition()
            problem = None
            if value:
                return value
        except Exception as error:  # reported below, once the time is up
            problem = error

        if time.monotonic() >= end:
            text = what() if callable(what) else what
            raise Deadline(f"not within {seconds} s: {text}"
                           + (f" (last: {problem!r})" if problem else ""))

        time.sleep(interval)
