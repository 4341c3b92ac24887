//! The checksum and length of content, which gzip's trailer has.

use zlib_rs::crc32::{crc32, crc32_combine_gen, crc32_combine_op};

/// The CRC-32 and the length of content. Sums of pieces can be joined without their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContentSum {
    crc: u32,
    bytes: u64,
}

/// The sum of content that follows other content, prepared once for all readers that get it.
#[derive(Clone, Copy, Debug)]
pub struct SuffixSum {
    sum: ContentSum,
    /// The factor by which so many bytes multiply the checksum of what is before them.
    factor: u32,
}

/// The sum of a piece of content, in half the memory: logs have one for each entry.
#[derive(Clone, Copy, Debug)]
pub struct PieceSum {
    crc: u32,
    bytes: u32,
}

impl PieceSum {
    /// Returns the sum of these bytes, which are less than 4 GiB: an event has 256 MiB at most.
    pub fn of(bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).expect("pieces are less than 4 GiB");
        Self { crc: crc32(0, bytes), bytes: len }
    }
}

impl From<PieceSum> for ContentSum {
    fn from(piece: PieceSum) -> Self {
        Self { crc: piece.crc, bytes: u64::from(piece.bytes) }
    }
}

impl From<ContentSum> for SuffixSum {
    fn from(sum: ContentSum) -> Self {
        Self { sum, factor: crc32_combine_gen(sum.bytes) }
    }
}

impl ContentSum {
    /// Returns the sum of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { crc: crc32(0, bytes), bytes: bytes.len() as u64 }
    }

    /// Adds content that follows.
    pub fn append(&mut self, next: impl Into<SuffixSum>) {
        let SuffixSum { sum, factor } = next.into();
        *self = Self { crc: crc32_combine_op(self.crc, sum.crc, factor), bytes: self.bytes + sum.bytes };
    }

    /// Returns the CRC-32.
    pub(super) fn crc(self) -> u32 {
        self.crc
    }

    /// Returns the length in bytes.
    pub fn bytes(self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_pieces_is_the_sum_of_the_whole() {
        let whole = b"data: 1\n\ndata: 2\n\n";

        for at in 0..=whole.len() {
            let mut sum = ContentSum::of(&whole[..at]);
            sum.append(ContentSum::of(&whole[at..]));
            assert_eq!(sum, ContentSum::of(whole), "cut at {at}");
        }
    }
}
