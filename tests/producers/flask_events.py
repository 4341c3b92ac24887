"""Flask with a generator, as its documentation shows streaming: types and data, but no ids and so no resume.

    python -m flask --app flask_events run
    python -m gunicorn --worker-class gthread --threads 8 flask_events:app
    python -m waitress flask_events:app
"""

import itertools
import json
import time

from flask import Flask, Response

app = Flask(__name__)


def event(number):
    if number == 1:
        data = json.dumps({"symbol": "EURUSD", "price": 1.0821, "currency": "€"}, ensure_ascii=False)
        return f": hello\nretry: 100\nevent: price\ndata: {data}\n\n"
    if number == 2:
        return "data: first line\ndata: second line\n\n"
    return f"event: tick\ndata: {json.dumps({'number': number})}\n\n"


@app.route("/events")
def events():
    def generate():
        for number in itertools.count(1):
            yield event(number)
            time.sleep(0.05)

    return Response(generate(), mimetype="text/event-stream")
