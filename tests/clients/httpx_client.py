"""httpx with httpx-sse: reconnecting is the application's, and so is the read timeout.

httpx gives up after five seconds without a byte; a stream may be quiet for as long as its heartbeat. With HTTP2=1 in the
environment it speaks HTTP/2, where a GOAWAY, as at a drain, comes out as an exception that is not httpx's own.
"""

import json
import os
import sys
import threading
import time

import h2.exceptions
import httpx
from httpx_sse import connect_sse

url, bearer = sys.argv[1:3]
last_event_id, retry = "", 1.0


def report(what):
    print(json.dumps(what), flush=True)


def headers():
    fields = {}
    if bearer != "-":
        with open(bearer, encoding="ascii") as file:
            fields["authorization"] = f"Bearer {file.read().strip()}"
    if last_event_id:
        fields["last-event-id"] = last_event_id
    return fields


def connect(client):
    """The status of a refusal that is final; else it raises."""
    global last_event_id, retry
    with connect_sse(client, "GET", url, headers=headers()) as source:
        status = source.response.status_code
        if status == 204 or (400 <= status < 500 and status != 429):
            return status
        source.response.raise_for_status()
        for event in source.iter_sse():
            last_event_id = event.id
            if event.retry is not None:
                retry = event.retry / 1000
            report({"type": event.event, "data": event.data, "id": event.id})
    raise httpx.ReadError("the response ended")


def follow():
    while True:
        try:
            with httpx.Client(http2="HTTP2" in os.environ, timeout=httpx.Timeout(5, read=45)) as client:
                return report({"closed": connect(client)})
        except (httpx.HTTPError, h2.exceptions.ProtocolError) as error:
            report({"lost": str(error)})
            time.sleep(retry)


def follow_and_end():
    follow()
    os._exit(0)


threading.Thread(target=follow_and_end, daemon=True).start()
sys.stdin.read()
