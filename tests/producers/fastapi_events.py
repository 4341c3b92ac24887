"""FastAPI with sse-starlette, as its documentation shows it: ids, types, `retry`, comments, and resume.

    python -m uvicorn fastapi_events:app
"""

import asyncio
import json

from fastapi import FastAPI, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

app = FastAPI()


def event(number: int) -> ServerSentEvent:
    if number == 1:
        data = json.dumps({"symbol": "EURUSD", "price": 1.0821, "currency": "€"})
        return ServerSentEvent(data=data, event="price", id="1", retry=100, comment="hello")
    if number == 2:
        return ServerSentEvent(data="first line\nsecond line", id="2")
    return ServerSentEvent(data=json.dumps({"number": number}), event="tick", id=str(number))


@app.get("/events")
async def events(request: Request):
    async def generate():
        number = int(request.headers.get("last-event-id", "0"))
        while not await request.is_disconnected():
            number += 1
            yield event(number)
            await asyncio.sleep(0.05)

    return EventSourceResponse(generate())
