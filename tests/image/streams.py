"""A producer of events, and clients that read until a drain ends them."""

import asyncio
import dataclasses
import threading

DATA = "whole " * 50
# Seconds between two events: few enough for one thread of Python to read them for all clients.
PAUSE = 0.25
# Seconds for hundreds of clients on a busy machine.
LONG = 90


class Producer:
    """Sends numbered events over HTTP/1.1, to each connection from 1 on, on a port that the system chose."""

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(asyncio.start_server(self.answer, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)

    async def answer(self, reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
            number = 0
            while True:
                number += 1
                writer.write(f"id: {number}\ndata: {DATA}\n\n".encode())
                await writer.drain()
                await asyncio.sleep(PAUSE)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@dataclasses.dataclass
class Drained:
    """What all clients got: the sums of their counts, and the gateway's exit status."""

    status: int
    events: int = 0
    halves: int = 0
    missing: int = 0


def drained_clients(port, trust, count, stop):
    """Opens `count` streams over HTTP/1.1 and TLS; when each has an event, `stop` ends the gateway."""
    return asyncio.run(asyncio.wait_for(read_all(port, trust, count, stop), 2 * LONG))


async def read_all(port, trust, count, stop):
    at_a_time = asyncio.Semaphore(20)
    opened = [asyncio.Event() for _ in range(count)]
    reading = [asyncio.create_task(read(port, trust, event, at_a_time)) for event in opened]
    first_end = asyncio.ensure_future(asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED))
    all_opened = asyncio.ensure_future(asyncio.gather(*(event.wait() for event in opened)))
    await asyncio.wait([first_end, all_opened], timeout=LONG, return_when=asyncio.FIRST_COMPLETED)
    assert all_opened.done(), "a client ended, or got no event, before the drain"
    drained = Drained(status=await asyncio.to_thread(stop))
    for body in await asyncio.gather(*reading):
        ids, half = events(body)
        drained.events += len(ids)
        drained.halves += half
        drained.missing += ids[-1] - ids[0] + 1 - len(ids)
    return drained


async def read(port, trust, opened, at_a_time):
    """Returns the whole body of one stream, without the framing of HTTP/1.1."""
    async with at_a_time:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname="localhost")
        writer.write(b"GET /a HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200") and b"chunked" in head.lower(), head
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
        if b"data: " in body:
            opened.set()
    writer.close()
    return body.decode()


def events(body):
    """Returns the ids of the whole events, and whether half a one follows them."""
    whole, _, rest = body.rpartition("\n\n")
    ids = []
    for block in whole.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            assert fields["data"] == DATA, block
            ids.append(int(fields["id"]))
    return ids, any(line.startswith(("id", "data", "event")) for line in rest.splitlines())
