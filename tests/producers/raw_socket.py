"""Server-Sent Events from a bare socket: a head, then text, until the connection closes.

    python raw_socket.py HOST PORT
"""

import json
import socket
import sys
import threading
import time

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\r\n"


def event(number):
    if number == 1:
        data = json.dumps({"symbol": "EURUSD", "price": 1.0821, "currency": "€"}, ensure_ascii=False)
        return f": hello\nretry: 100\nevent: price\ndata: {data}\n\n"
    if number == 2:
        return "data: first line\ndata: second line\n\n"
    return f"event: tick\ndata: {json.dumps({'number': number})}\n\n"


def serve(connection):
    with connection:
        request = connection.recv(65536)
        if not request.startswith(b"GET /events "):
            return
        connection.sendall(HEAD)
        number = 0
        while True:
            number += 1
            connection.sendall(event(number).encode())
            time.sleep(0.05)


def main():
    with socket.create_server((sys.argv[1], int(sys.argv[2]))) as server:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


main()
