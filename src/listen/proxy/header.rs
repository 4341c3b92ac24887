//! The PROXY protocol's header, version 1 and 2: bytes to the address of the client that a proxy speaks for.
//!
//! Pure and incremental: it says how many bytes the header needs at least, so that a reader never takes one that belongs
//! to what follows. What the specification leaves open is refused. Additional fields (TLVs) are skipped and not looked
//! at. Reads nothing itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header: the fixed part, the addresses, and what balancers are known to add.
pub const MOST_BYTES: usize = 4096;

/// Longest line of version 1, its end included.
const MOST_LINE_BYTES: usize = 107;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const PROXY: &[u8] = b"PROXY ";

/// The shortest header there is, `PROXY UNKNOWN` with its end of line: so much belongs to any.
const LEAST_BYTES: usize = 15;

/// Where the second version says how much follows.
const FIXED_BYTES: usize = 16;

/// What a beginning of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Not complete: at least so many bytes more belong to it.
    Needs(usize),
    /// Complete. Without an address the proxy speaks for itself (a health check), or does not say for whom.
    Complete(Option<SocketAddr>),
}

/// These bytes begin no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no PROXY protocol header")]
pub struct MalformedHeader;

impl Header {
    /// Reads what has come, which must hold no more than [`Self::Needs`] asked for.
    ///
    /// # Errors
    /// When it cannot become a header.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedHeader> {
        if begins(bytes, PROXY) {
            return line(bytes);
        }
        if begins(bytes, SIGNATURE) {
            return binary(bytes);
        }
        Err(MalformedHeader)
    }
}

/// Whether the bytes begin as the mark does, as far as they go.
fn begins(bytes: &[u8], mark: &[u8]) -> bool {
    let shared = bytes.len().min(mark.len());
    bytes[..shared] == mark[..shared]
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443`, in ASCII.
fn line(bytes: &[u8]) -> Result<Header, MalformedHeader> {
    if bytes.len() < LEAST_BYTES {
        return Ok(Header::Needs(LEAST_BYTES - bytes.len()));
    }
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        // Nothing may stand behind a line's end, and there is one end.
        let is_open = !bytes[..bytes.len() - 1].contains(&b'\r') && !bytes.contains(&b'\n');
        let least = if bytes.ends_with(b"\r") { 1 } else { 2 };
        return match is_open && bytes.len() + least <= MOST_LINE_BYTES {
            true => Ok(Header::Needs(least)),
            false => Err(MalformedHeader),
        };
    };
    let line = str::from_utf8(line).map_err(|_| MalformedHeader)?;
    let mut words = line.split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        // Whatever else it says is to be ignored.
        return Ok(Header::Complete(None));
    }
    let rest: Vec<&str> = words.collect();
    let [source, destination, source_port, destination_port] = rest[..] else { return Err(MalformedHeader) };
    let address: fn(&str) -> Option<IpAddr> = match family {
        "TCP4" => |text| text.parse().ok().map(IpAddr::V4),
        "TCP6" => |text| text.parse().ok().map(IpAddr::V6),
        _ => return Err(MalformedHeader),
    };
    address(destination).zip(port(destination_port)).ok_or(MalformedHeader)?;
    let source = address(source).zip(port(source_port)).ok_or(MalformedHeader)?;
    Ok(Header::Complete(Some(source.into())))
}

/// A decimal number without signs and leading zeros.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

/// Version 2: signature, command, family, length, addresses, and additional fields.
fn binary(bytes: &[u8]) -> Result<Header, MalformedHeader> {
    if bytes.len() < LEAST_BYTES {
        return Ok(Header::Needs(LEAST_BYTES - bytes.len()));
    }
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED_BYTES) else {
        return Ok(Header::Needs(FIXED_BYTES - bytes.len()));
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
    // A health check need not say any address.
    if FIXED_BYTES + length > MOST_BYTES || (!is_local && length < addresses) {
        return Err(MalformedHeader);
    }
    if rest.len() < length {
        return Ok(Header::Needs(length - rest.len()));
    }
    let source = match (is_local, fixed[13]) {
        (false, 0x11) => ip::<4, Ipv4Addr>(rest).zip(number(rest, 8)),
        (false, 0x21) => ip::<16, Ipv6Addr>(rest).zip(number(rest, 32)),
        // Not over TCP, or of no family that an address could be told of.
        _ => None,
    };
    Ok(Header::Complete(source.map(SocketAddr::from)))
}

fn ip<const BYTES: usize, A: From<[u8; BYTES]> + Into<IpAddr>>(bytes: &[u8]) -> Option<IpAddr> {
    bytes.first_chunk().map(|octets| A::from(*octets).into())
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map(|octets| u16::from_be_bytes(*octets))
}

#[cfg(test)]
mod tests;
