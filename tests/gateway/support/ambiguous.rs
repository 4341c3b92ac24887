//! Requests over HTTP/1.1 that two parsers read differently, or that are none: what a smuggled request hides behind.
//!
//! Every route refuses all of them, those that forward before anything is sent on.

/// Fields that leave the length of the body open.
pub const AMBIGUOUS_LENGTHS: &[&str] = &[
    "content-length: 5\r\ntransfer-encoding: chunked",
    "transfer-encoding: chunked\r\ncontent-length: 5",
    "content-length: 0\r\ntransfer-encoding: chunked",
    "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
    "transfer-encoding: chunked\r\ntransfer-encoding: identity",
    "transfer-encoding: chunked, identity",
    "transfer-encoding: identity",
    "transfer-encoding: gzip, chunked",
    "transfer-encoding: xchunked",
    "transfer-encoding: \u{b}chunked",
    "transfer-encoding : chunked",
    "transfer-encoding: \"chunked\"",
    "transfer-encoding: chunked;q=1",
    "content-length: 5\r\ncontent-length: 6",
    "content-length: 5\r\ncontent-length: 5",
    "content-length: 5, 5",
    "content-length: 5, 6",
    "content-length: +5",
    "content-length: -5",
    "content-length: 0x5",
    "content-length: 5 5",
    "content-length: 5.0",
    "content-length: ",
    "content-length: 18446744073709551621",
    "content-length: 99999999999999999999999999",
    "content-length : 5",
];

/// Beginnings of a body in chunks (RFC 9112, 7.1) that are malformed.
pub const BAD_CHUNKS: &[&str] = &[
    "Z\r\n",
    "-1\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "FFFFFFFFFFFFFFFFF\r\n",
    "5\nhello\n0\n\n",
    "5\r\nhelloworld\r\n0\r\n\r\n",
    "0\r\nx: y\r\n",
    " 0\r\n\r\n",
    "\r\n",
    "5;\n\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
];

/// Whole heads.
pub const MALFORMED_HEADS: &[&str] = &[
    // Folded and malformed field lines (RFC 9112, 2.2 and 5.2).
    "GET /prices HTTP/1.1\r\nhost: localhost\r\nx: a\r\n b\r\n\r\n",
    "GET /prices HTTP/1.1\r\n host: localhost\r\n\r\n",
    "GET /prices HTTP/1.1\r\nhost: localhost\r\nx: a\rb\r\n\r\n",
    "GET /prices HTTP/1.1\r\nhost: localhost\r\nx: a\0b\r\n\r\n",
    "GET /prices HTTP/1.1\r\nhost: localhost\r\n: nameless\r\n\r\n",
    "GET /prices HTTP/1.1\r\nhost: localhost\r\nname less\r\n\r\n",
    "GET /prices HTTP/1.1\r\nhost: localhost\r\nna me: x\r\n\r\n",
    "GET /prices HTTP/1.1\r\nhost : localhost\r\n\r\n",
    // Missing, repeated and invalid hosts (RFC 9112, 3.2).
    "GET /prices HTTP/1.1\r\n\r\n",
    "GET /prices HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n",
    "GET /prices HTTP/1.1\r\nhost: localhost\r\nhost: elsewhere\r\n\r\n",
    "GET /prices HTTP/1.1\r\nhost: a b\r\n\r\n",
    "GET /prices HTTP/1.1\r\nhost: a/b\r\n\r\n",
    "GET /prices HTTP/1.1\r\nhost: user@localhost\r\n\r\n",
    "GET /prices HTTP/1.1\r\nhost: localhost, elsewhere\r\n\r\n",
    "GET /prices HTTP/1.1\r\nhost: localhost:port\r\n\r\n",
    "GET /prices HTTP/1.1\r\nhost: \r\n\r\n",
    // Invalid request lines (RFC 9112, 3).
    "GET /prices HTTP/1.1 x\r\nhost: localhost\r\n\r\n",
    "GET  /prices HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "GET /pri ces HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "GET prices HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "GET\t/prices\tHTTP/1.1\r\nhost: localhost\r\n\r\n",
    "GET /prices HTTP/1.2\r\nhost: localhost\r\n\r\n",
    "GET /prices HTTP/3.0\r\nhost: localhost\r\n\r\n",
    "GET /prices http/1.1\r\nhost: localhost\r\n\r\n",
    "GET /prices\r\n\r\n",
    "G\0T /prices HTTP/1.1\r\nhost: localhost\r\n\r\n",
    // Targets that are not paths.
    "OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "CONNECT localhost:80 HTTP/1.1\r\nhost: localhost:80\r\n\r\n",
    "GET * HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "GET http://user@localhost/prices HTTP/1.1\r\nhost: localhost\r\n\r\n",
    // Not HTTP at all.
    "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
];
