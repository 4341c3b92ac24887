//! Answers of hostile upstreams, over HTTP/1.1. Every kind of route refuses all of them.

/// Beginnings of a response that is none, or no answer to the request.
pub const BAD_RESPONSE_HEADS: &[&str] = &[
    "\r\n\r\n",
    "garbage\r\n\r\n",
    "HTTP/9.9 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
    "HTTP/1.1 2000 OK\r\ncontent-type: text/event-stream\r\n\r\n",
    "HTTP/1.1 -1 OK\r\ncontent-type: text/event-stream\r\n\r\n",
    "HTTP/1.1 200 OK\r\n: nameless\r\ncontent-type: text/event-stream\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nbad name: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx: \0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: -5\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    "HTTP/2.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
    "",
];
