//! The parser of PROXY protocol headers, version 1 and 2.
//!
//! Pure and incremental. It returns the least number of bytes that are missing, so that a reader never takes bytes of
//! the protocol that follows. Input that the specification leaves undefined is refused. Additional fields (TLVs) are
//! skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header: the fixed part, the addresses, and the fields that balancers are known to add.
pub(super) const MAX_BYTES: usize = 4096;

/// Longest line of version 1, including its CRLF.
const MAX_V1_BYTES: usize = 107;

const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V1_PREFIX: &[u8] = b"PROXY ";

/// The shortest header: `PROXY UNKNOWN` with its CRLF.
const MIN_BYTES: usize = 15;

/// Length of version 2's fixed part, which ends with the length of the rest.
const V2_FIXED_BYTES: usize = 16;

/// The state of a header that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// The header is incomplete. At least this many bytes are missing.
    Incomplete(usize),
    /// The header is complete, with the client's address. `None`: the proxy speaks for itself (a health check) or names
    /// no client.
    Complete(Option<SocketAddr>),
}

/// The bytes are not a PROXY protocol header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid PROXY protocol header")]
pub(super) struct MalformedHeader;

impl Header {
    /// Parses the bytes so far. They must hold no more than [`Self::Incomplete`] asked for.
    ///
    /// # Errors
    /// Returns an error if the bytes cannot become a header.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, MalformedHeader> {
        if matches_prefix(bytes, V1_PREFIX) {
            return parse_v1(bytes);
        }
        if matches_prefix(bytes, V2_SIGNATURE) {
            return parse_v2(bytes);
        }
        Err(MalformedHeader)
    }
}

/// Returns true if the bytes match the prefix as far as they go.
fn matches_prefix(bytes: &[u8], prefix: &[u8]) -> bool {
    let shared = bytes.len().min(prefix.len());
    bytes[..shared] == prefix[..shared]
}

/// Parses version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443`, in ASCII.
fn parse_v1(bytes: &[u8]) -> Result<Header, MalformedHeader> {
    if bytes.len() < MIN_BYTES {
        return Ok(Header::Incomplete(MIN_BYTES - bytes.len()));
    }
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        // The only CRLF is at the end of the line.
        let is_open = !bytes[..bytes.len() - 1].contains(&b'\r') && !bytes.contains(&b'\n');
        let min_missing = if bytes.ends_with(b"\r") { 1 } else { 2 };
        return match is_open && bytes.len() + min_missing <= MAX_V1_BYTES {
            true => Ok(Header::Incomplete(min_missing)),
            false => Err(MalformedHeader),
        };
    };
    let line = str::from_utf8(line).map_err(|_| MalformedHeader)?;
    let mut fields = line.split(' ').skip(1);
    let family = fields.next().unwrap_or_default();
    if family == "UNKNOWN" {
        // The rest of the line is ignored, as the specification requires.
        return Ok(Header::Complete(None));
    }
    let rest: Vec<&str> = fields.collect();
    let [source, destination, source_port, destination_port] = rest[..] else { return Err(MalformedHeader) };
    let address: fn(&str) -> Option<IpAddr> = match family {
        "TCP4" => |text| text.parse().ok().map(IpAddr::V4),
        "TCP6" => |text| text.parse().ok().map(IpAddr::V6),
        _ => return Err(MalformedHeader),
    };
    address(destination).zip(parse_port(destination_port)).ok_or(MalformedHeader)?;
    let source = address(source).zip(parse_port(source_port)).ok_or(MalformedHeader)?;
    Ok(Header::Complete(Some(source.into())))
}

/// Parses a decimal number without signs and leading zeros.
fn parse_port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

/// Parses version 2: signature, command, family, length, addresses, and additional fields.
fn parse_v2(bytes: &[u8]) -> Result<Header, MalformedHeader> {
    if bytes.len() < MIN_BYTES {
        return Ok(Header::Incomplete(MIN_BYTES - bytes.len()));
    }
    let Some((fixed, rest)) = bytes.split_at_checked(V2_FIXED_BYTES) else {
        return Ok(Header::Incomplete(V2_FIXED_BYTES - bytes.len()));
    };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let is_local = match fixed[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(MalformedHeader),
    };
    let addresses = match fixed[13] {
        0x00..=0x02 => 0,
        0x10..=0x12 => 12,
        0x20..=0x22 => 36,
        0x30..=0x32 => 216,
        _ => return Err(MalformedHeader),
    };
    // A LOCAL command may omit the addresses.
    if V2_FIXED_BYTES + length > MAX_BYTES || (!is_local && length < addresses) {
        return Err(MalformedHeader);
    }
    if rest.len() < length {
        return Ok(Header::Incomplete(length - rest.len()));
    }
    let source = match (is_local, fixed[13]) {
        (false, 0x11) => read_ip::<4, Ipv4Addr>(rest).zip(read_port(rest, 8)),
        (false, 0x21) => read_ip::<16, Ipv6Addr>(rest).zip(read_port(rest, 32)),
        // Datagrams, local sockets and unknown families have no TCP address.
        _ => None,
    };
    Ok(Header::Complete(source.map(SocketAddr::from)))
}

fn read_ip<const BYTES: usize, A: From<[u8; BYTES]> + Into<IpAddr>>(bytes: &[u8]) -> Option<IpAddr> {
    bytes.first_chunk().map(|octets| A::from(*octets).into())
}

fn read_port(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map(|octets| u16::from_be_bytes(*octets))
}

#[cfg(test)]
mod tests;
