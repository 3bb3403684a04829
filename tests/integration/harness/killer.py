"""
Killing the writer in the middle of a transaction, and proving that it was.

mongod is asked for open transactions ($currentOp with idle sessions) in a
tight loop; the moment one of the writer's is seen, the writer gets SIGKILL.
That alone proves little: the transaction may have committed in between.  So
afterwards its session is looked up again.  A transaction that never committed
is aborted by mongod and leaves nothing in config.transactions; one that did
commit is recorded there with its number, or one that came after it.
"""

import os
import signal
import time

from .waiting import wait_until

ABORTED, COMMITTED = "aborted", "committed"


class Killer:

    def __init__(self, stack, part="writer"):
        self.stack = stack
        self.part = part
        self.admin = stack.mongo.admin
        self.transactions = stack.mongo.config.transactions

    def open_transactions(self):
        """{(lsid, txnNumber): microseconds it has been open}."""

        operations = self.admin.aggregate([
            {"$currentOp": {"allUsers": True, "idleSessions": True}},
            {"$match": {"transaction.parameters.txnNumber": {"$gte": 0},
                        "appName": f"millrace-{self.part}"}},
        ])
        return {(o["lsid"]["id"],
                 o["transaction"]["parameters"]["txnNumber"]):
                o["transaction"].get("timeOpenMicros", 0)
                for o in operations}

    def aborted_in_total(self):
        return self.admin.command("serverStatus")["transactions"][
            "totalAborted"]

    def kill_inside(self, going_on, seconds, after=0):
        """
        Wait for an open transaction (one open for `after` microseconds or
        more) and kill.  Returns what verdict() needs, or None if none came
        before going_on() turned false.
        """

        pid = self.stack.pid(self.part)
        before = self.aborted_in_total()
        deadline = time.monotonic() + seconds

        while True:
            seen = self.open_transactions()
            if any(age >= after for age in seen.values()):
                os.kill(pid, signal.SIGKILL)
                break
            if not going_on():
                return None
            assert time.monotonic() < deadline, (
                f"no transaction of {self.part} within {seconds} s")

        self.stack.kill(self.part)  # waits for its end, and notes it
        return set(seen), before

    def verdict(self, kill):
        """What became of what was open then: ABORTED or COMMITTED."""

        seen, before = kill
        wait_until(lambda: not seen & self.open_transactions().keys(), 40,
                   lambda: f"the end of the transactions {seen}")
        aborted = {(lsid, number) for lsid, number in seen
                   if self._last_committed(lsid) < number}
        if not aborted:
            return COMMITTED

        assert self.aborted_in_total() >= before + len(aborted), (
            f"{aborted} did not commit, and none was aborted")
        return ABORTED

    def _last_committed(self, lsid):
        doc = self.transactions.find_one({"_id.id": lsid})
        return -1 if doc is None else doc["txnNum"]
