use super::*;

/// Reads a header in pieces of at most `size` bytes. Returns the address and the input after the header.
fn read(mut input: &[u8], size: usize) -> Result<(Option<SocketAddr>, &[u8]), MalformedHeader> {
    let mut taken = Vec::new();
    loop {
        match Header::parse(&taken)? {
            Header::Complete(source) => return Ok((source, input)),
            Header::Incomplete(_) if input.is_empty() => return Err(MalformedHeader),
            Header::Incomplete(missing) => {
                assert!((1..=MAX_BYTES).contains(&missing));
                let (piece, rest) = input.split_at(missing.min(size).min(input.len()));
                taken.extend_from_slice(piece);
                input = rest;
            }
        }
    }
}

fn in_every_split(header: &[u8]) -> Result<Option<SocketAddr>, MalformedHeader> {
    let input = [header, b"what follows"].concat();
    let whole = read(&input, usize::MAX);
    for size in 1..=header.len() {
        assert_eq!(read(&input, size), whole);
    }
    whole.map(|(source, rest)| {
        assert_eq!(rest, b"what follows", "a byte too many was taken, or one too few");
        source
    })
}

fn version2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [V2_SIGNATURE, &[command, family], &length, rest].concat()
}

#[test]
fn a_line_names_the_client() {
    let source = |line: &str| in_every_split(line.as_bytes()).unwrap().map(|source| source.to_string());
    assert_eq!(source("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n").as_deref(), Some("192.0.2.1:56324"));
    assert_eq!(source("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n").as_deref(), Some("[2001:db8::1]:0"));
    assert_eq!(source("PROXY UNKNOWN\r\n"), None);
    let longest =
        format!("PROXY UNKNOWN {} {} 65535 65535\r\n", "ffff:".repeat(7) + "ffff", "ffff:".repeat(7) + "ffff");
    assert_eq!(longest.len(), MAX_V1_BYTES);
    assert_eq!(source(&longest), None);
}

#[test]
fn an_invalid_line_is_refused() {
    for line in [
        "GET / HTTP/1.1\r\n\r\n",
        "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.256 1 2\r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 fe80::1%1 ::1 1 2\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n",
        "PROXY UNKNOWNLY\r\n",
    ] {
        assert_eq!(in_every_split(line.as_bytes()), Err(MalformedHeader), "{line:?}");
    }
    let endless = format!("PROXY UNKNOWN {}", "x".repeat(MAX_BYTES));
    assert_eq!(in_every_split(endless.as_bytes()), Err(MalformedHeader));
}

#[test]
fn a_binary_header_names_the_client_and_its_other_fields_are_skipped() {
    let ipv4 = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 1, 0xbb];
    let ipv6 = [&Ipv6Addr::LOCALHOST.octets()[..], &Ipv6Addr::UNSPECIFIED.octets(), &[0, 1, 0, 2]].concat();
    let fields = [&ipv4[..], &[0x04, 0, 3, 1, 2, 3, 0xff, 0xff, 0xff]].concat();
    let source = |command, family, rest: &[u8]| in_every_split(&version2(command, family, rest)).unwrap();

    assert_eq!(source(0x21, 0x11, &ipv4), "192.0.2.1:56324".parse().ok());
    assert_eq!(source(0x21, 0x11, &fields), "192.0.2.1:56324".parse().ok());
    assert_eq!(source(0x21, 0x21, &ipv6), "[::1]:1".parse().ok());
    assert_eq!(source(0x21, 0x11, &[&ipv4[..], &[0; MAX_BYTES - 28]].concat()), "192.0.2.1:56324".parse().ok());
    // Health checks, datagrams, local sockets, and unspecified families.
    assert_eq!(source(0x20, 0x11, &ipv4), None);
    assert_eq!(source(0x20, 0x00, &[]), None);
    assert_eq!(source(0x20, 0x11, &[]), None);
    assert_eq!(source(0x21, 0x12, &ipv4), None);
    assert_eq!(source(0x21, 0x31, &[0; 216]), None);
    assert_eq!(source(0x21, 0x00, &[1, 2, 3]), None);
}

#[test]
fn an_invalid_binary_header_is_refused() {
    let refused = |bytes: &[u8]| assert_eq!(in_every_split(bytes), Err(MalformedHeader), "{bytes:?}");
    let ipv4 = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 1, 0xbb];

    for command in [0x00, 0x01, 0x11, 0x22, 0x2f, 0x31, 0xff] {
        refused(&version2(command, 0x11, &ipv4));
    }
    for family in [0x03, 0x13, 0x40, 0x41, 0xf1, 0xff] {
        refused(&version2(0x21, family, &ipv4));
    }
    refused(&version2(0x21, 0x11, &ipv4[..11]));
    refused(&version2(0x21, 0x21, &ipv4));
    refused(&version2(0x21, 0x11, &[0; MAX_BYTES - 15]));
    refused(&version2(0x21, 0x11, &[0; 65535]));
    let mut spoilt = version2(0x21, 0x11, &ipv4);
    for at in 0..V2_SIGNATURE.len() {
        spoilt[at] ^= 0x20;
        refused(&spoilt);
        spoilt[at] ^= 0x20;
    }
}
