//! Bytes below the lines: byte order marks, ill-formed UTF-8, framing of other protocols, sizes.

/// Name and body.
pub const CASES: &[(&str, &[u8])] = &[
    ("byte order mark", b"\xEF\xBB\xBFdata: x\n\n"),
    ("byte order mark alone", b"\xEF\xBB\xBF"),
    ("byte order mark on a blank line", b"\xEF\xBB\xBF\ndata: x\n\n"),
    ("byte order mark before a comment", b"\xEF\xBB\xBF: hello\ndata: x\n\n"),
    ("byte order mark before an id", b"\xEF\xBB\xBFid: 1\ndata: x\n\n"),
    ("two byte order marks", b"\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\ndata: b\n\n"),
    ("byte order mark on the second line", b"\n\xEF\xBB\xBFdata: a\n\ndata: b\n\n"),
    ("byte order mark after a space", b" \xEF\xBB\xBFdata: a\n\ndata: b\n\n"),
    ("byte order mark in data", b"data: \xEF\xBB\xBFx\n\n"),
    ("byte order mark in the second event", b"data: a\n\n\xEF\xBB\xBFdata: b\n\n"),
    ("byte order mark cut after one byte", b"\xEFdata: a\n\ndata: b\n\n"),
    ("byte order mark cut after two bytes", b"\xEF\xBBdata: a\n\ndata: b\n\n"),
    ("byte order mark of utf-16", b"\xFE\xFFdata: a\n\ndata: b\n\n"),
    ("byte order mark cut by a line end", b"\xEF\xBB\n\xBFdata: a\n\ndata: b\n\n"),
    ("ill-formed: lone continuation", b"data: a\x80b\xBFc\n\n"),
    ("ill-formed: lone lead bytes", b"data: a\xC3b\xE2c\xF0d\n\n"),
    ("ill-formed: three of four bytes", b"data: \xF0\x9F\x92x\n\n"),
    ("ill-formed: two of three bytes", b"data: \xE2\x82x\n\n"),
    ("ill-formed: cut by a line feed", b"data: \xE2\x82\n\n"),
    ("ill-formed: cut by a carriage return", b"data: \xF0\x9F\x92\r\r"),
    ("ill-formed: character split over two data lines", b"data: \xE2\x82\ndata: \xAC\n\n"),
    ("ill-formed: overlong slash", b"data: \xC0\xAF\xE0\x80\xAF\n\n"),
    ("ill-formed: overlong line feed ends no line", b"data: a\xC0\x8Ab\n\n"),
    ("ill-formed: overlong nul in id is no nul", b"id: 1\xC0\x80\ndata: x\n\n"),
    ("ill-formed: surrogate", b"data: \xED\xA0\x80\n\n"),
    ("ill-formed: above the last code point", b"data: \xF4\x90\x80\x80\n\n"),
    ("ill-formed: bytes that never occur", b"data: \xF5\xF8\xFC\xFE\xFF\n\n"),
    ("ill-formed: before the colon's space", b"data:\xFF x\n\n"),
    ("ill-formed: in a type", b"event: a\xFFb\ndata: x\n\n"),
    ("ill-formed: in an id", b"id: a\xF0\x9F\ndata: x\n\n"),
    ("ill-formed: in a retry", b"retry: 15\xFF\ndata: x\n\n"),
    ("ill-formed: then well-formed again", b"data: \xFF\n\ndata: \xC5\xBE\n\n"),
    ("well-formed: two, three and four bytes", b"data: \xC5\xBE\xE2\x82\xAC\xF0\x9F\x90\x8E\n\n"),
    ("well-formed: the largest and noncharacters", b"data: \xF4\x8F\xBF\xBF\xEF\xBF\xBF\xEF\xBF\xBD\n\n"),
    ("framing: chunk end in data", b"data: 0\ndata\ndata\n\n"),
    ("framing: bare last chunk", b"0\r\n\r\ndata: x\n\n"),
    ("framing: chunk size lines", b"5\r\ndata: a\r\n\r\n10;ext=1\r\ndata: b\r\n\r\n"),
    ("framing: response head", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\ndata: x\n\n"),
    ("framing: response head in data", b"data: HTTP/1.1 404 Not Found\r\ndata: \r\ndata: bye\r\n\r\n"),
    ("framing: request head", b"GET / HTTP/1.1\r\nhost: a\r\n\r\ndata: x\n\n"),
    (
        "framing: http/2 preface and frame",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x04\x01\0\0\0\0\x01data: a\n\ndata: b\n\n",
    ),
    ("framing: gzip magic", b"\x1F\x8B\x08\0\0\0\0\0\ndata: x\n\n"),
    ("framing: tls alert", b"\x15\x03\x03\0\x02\x02\x28\ndata: x\n\n"),
    ("framing: json lines", b"{\"a\":1}\n{\"data\": 2}\n\ndata: x\n\n"),
    ("framing: html page", b"<!doctype html>\n<title>data: x</title>\n\n"),
    ("framing: markup in data", b"data: <script>alert(1)</script>\n\n"),
    ("nothing but nul", b"\0\0\0\0\n\n\0\n"),
];

/// Bodies that are too long or too regular to be written down.
pub fn generated() -> Vec<(&'static str, Vec<u8>)> {
    let every_byte: Vec<u8> = (0..=255).collect();
    let words = "All work and no play makes a dull stream. ".repeat(40);
    vec![
        ("every byte in data", [b"data: ", &*every_byte, b"\n\n"].concat()),
        ("every byte in an id", [b"id: ", &*every_byte, b"\ndata: x\n\n"].concat()),
        ("every byte without a field", [&*every_byte, b"\n\ndata: x\n\n"].concat()),
        ("every byte as a line", {
            let mut body: Vec<u8> = every_byte.iter().flat_map(|&byte| [byte, b'\n']).collect();
            body.extend_from_slice(b"data: x\n\n");
            body
        }),
        ("long data", format!("id: 1\ndata: {words}\n\ndata: after\n\n").into_bytes()),
        ("long comment", format!(": {words}\ndata: after\n\n").into_bytes()),
        ("long type", format!("event: {words}\ndata: x\n\n").into_bytes()),
        ("long id", format!("id: {}\ndata: x\n\n", "7".repeat(1000)).into_bytes()),
        ("long unknown field", format!("{words}\n{words}: x\ndata: after\n\n").into_bytes()),
        ("many data lines", format!("{}\n", "data: line\n".repeat(100)).into_bytes()),
        ("many empty data lines", format!("{}\n", "data\n".repeat(200)).into_bytes()),
        ("many comments", format!("{}data: x\n\n", ":\n\n".repeat(200)).into_bytes()),
        ("many blank lines", format!("{}data: x\n\n", "\r\n\n\r".repeat(100)).into_bytes()),
        ("many events", (0..60).map(|n| format!("id: {n}\ndata: {n}\n\n")).collect::<String>().into_bytes()),
        (
            "many events with every second id",
            (0..40)
                .map(|n| if n % 2 == 0 { format!("id: {n}\ndata: {n}\n\n") } else { format!("data: {n}\n\n") })
                .collect::<String>()
                .into_bytes(),
        ),
        ("long ill-formed data", [b"data: ".as_slice(), &[0xFF; 500], b"\n\n"].concat()),
        ("long four-byte characters", format!("data: {}\n\n", "🐎".repeat(200)).into_bytes()),
        ("a real stream of prices", {
            let event =
                |n: u32| format!("event: price\r\nid: {n}\r\ndata: {{\"symbol\":\"EURUSD\",\"bid\":1.{n:04}}}\r\n\r\n");
            let body: String = (1080..1100).map(event).collect();
            format!("retry: 3000\r\n: connected\r\n\r\n{body}: keep-alive\r\n\r\n").into_bytes()
        }),
    ]
}
