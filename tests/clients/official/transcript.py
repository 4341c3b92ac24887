"""The interface of the Python clients in this folder. Each is a program

    CLIENT URL

that uses its library as the library's documentation shows, in one scenario after another, and prints a JSON object per line:

    {"scenario": …, "seen": […], …}

`seen` lists what the library yielded. `text`, `tool` and `error` say how it ended.
"""

import json
import os
import sys
import threading

url = sys.argv[1]

TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def scenario(name, run):
    """Runs it. `run` is called with the list of what is seen, and returns more of the outcome."""
    seen = []
    outcome = {"scenario": name, "seen": seen}
    try:
        outcome.update(run(seen) or {})
    except Exception as error:  # An outcome like any other.
        outcome["error"] = described(error)
    print(json.dumps(outcome), flush=True)


def described(error):
    description = {"type": type(error).__name__}
    response = getattr(error, "response", None)
    if response is None:
        # The text of a timeout is that of the system's socket or of TLS.
        return description if "Timeout" in description["type"] else {**description, "message": str(error)}
    fields = {name: response.headers.get(name, "").split(";")[0] for name in ("content-type", "retry-after")}
    return {**description, "message": str(error), "status": error.status_code, "body": error.body, **fields}


def end_with_the_test():
    os.read(0, 1)
    os._exit(1)


threading.Thread(target=end_with_the_test, daemon=True).start()
