//! The binary form of values that are stored: numbers, texts and ids.
//!
//! Numbers are little-endian, and texts have their length in front. Decoding never panics and never trusts a length:
//! missing bytes give `None`, and damaged bytes do not match the checksum, where there is one.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::sse::EventId;

/// Encodes values to bytes.
#[derive(Debug, Default)]
pub struct BinaryEncoder(Vec<u8>);

impl BinaryEncoder {
    /// Writes one byte.
    pub fn byte(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    /// Writes a number.
    pub fn number(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Writes a number or its absence.
    pub fn optional(&mut self, value: Option<u64>) -> &mut Self {
        self.byte(u8::from(value.is_some())).number(value.unwrap_or_default())
    }

    /// Writes bytes with their length.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.number(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// Returns the bytes without a checksum.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Appends the checksum and returns the bytes.
    pub fn finish(mut self) -> Vec<u8> {
        let sum = checksum(&self.0);
        self.number(sum);
        self.0
    }
}

/// Continues after bytes that were encoded before.
impl From<Vec<u8>> for BinaryEncoder {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// Decodes values from bytes.
#[derive(Debug)]
pub struct BinaryDecoder<'a>(&'a [u8]);

impl<'a> BinaryDecoder<'a> {
    /// Starts decoding, or returns `None` if the checksum does not match.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
        (sum == checksum(content).to_le_bytes()).then_some(Self(content))
    }

    /// Starts decoding bytes without a checksum.
    pub fn unchecked(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// Reads one byte.
    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    /// Reads a number.
    pub fn number(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// Reads a number or its absence.
    pub fn optional(&mut self) -> Option<Option<u64>> {
        let is_there = self.byte()? != 0;
        let value = self.number()?;
        Some(is_there.then_some(value))
    }

    /// Reads bytes with their length.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    /// Reads a text.
    pub fn text(&mut self) -> Option<&'a str> {
        str::from_utf8(self.bytes()?).ok()
    }

    /// Reads an id.
    pub fn id(&mut self) -> Option<EventId> {
        EventId::new(self.text()?).ok()
    }

    /// Returns true if everything has been read.
    pub fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

/// Computes a checksum against damage, not against attackers: anyone who can write the file can write the checksum.
fn checksum(content: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(content);
    hasher.finish()
}
