"""
Single events that are sent while things are broken, to see when they are
accepted again and when they can be read.  They are audited as well.
"""

import time

import httpx

USER = "chaos-probe"


class Probes:

    def __init__(self, stack, seed):
        self.url = stack.url
        self.prefix = f"probe-{seed}-"
        self.number = 0
        self.accepted = set()  # ids that got a 202
        self.unsure = set()    # ids without an answer that says what became

    def post(self, client):
        """A new event, once; its answer, or None."""

        self.number += 1
        return self._post(client, f"{self.prefix}{self.number}")

    def _post(self, client, event_id):
        event = {"event_id": event_id, "user_id": USER, "event_type": "probe",
                 "timestamp": round(time.time(), 3)}
        try:
            answer = client.post("/events", json=event)
        except httpx.TransportError:
            answer = None
        status = 0 if answer is None else answer.status_code
        if status == 202:
            self.accepted.add(event_id)
        elif not 400 <= status < 500:
            self.unsure.add(event_id)
        return answer

    def _readable(self, client, event_id):
        try:
            answer = client.get("/events", params={"user_id": USER,
                                                   "event_id": event_id})
            return answer.status_code == 200 and len(
                answer.json()["events"]) == 1
        except (httpx.TransportError, ValueError):
            return False

    def recover(self, deadline):
        """
        The same event is sent until it gets a 202 and then asked for.
        Returns when that was, on the monotonic clock.
        """

        self.number += 1
        event_id = f"{self.prefix}{self.number}"

        with httpx.Client(base_url=self.url, timeout=15) as client:
            self._post(client, event_id)
            while event_id not in self.accepted:
                self._in_time(deadline, "no event was accepted")
                self._post(client, event_id)
            accepted = time.monotonic()
            while not self._readable(client, event_id):
                self._in_time(deadline, f"{event_id} could not be read")
            return accepted, time.monotonic()

    @staticmethod
    def _in_time(deadline, what):
        assert time.monotonic() < deadline, f"not recovered: {what}"
        time.sleep(0.05)

    def stored(self):
        """[event_id] of what GET /events has of them."""

        with httpx.Client(base_url=self.url, timeout=30) as client:
            found, cursor = [], None
            while True:
                params = {"user_id": USER, "limit": 1000}
                if cursor is not None:
                    params["cursor"] = cursor
                answer = client.get("/events", params=params)
                answer.raise_for_status()
                found += [e["event_id"] for e in answer.json()["events"]]
                cursor = answer.json()["next_cursor"]
                if cursor is None:
                    return found
