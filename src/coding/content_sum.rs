//! The checksum and length of content, which gzip's trailer has.

use crc32fast::Hasher;

/// The CRC-32 and the length of content. Sums of pieces can be joined without their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContentSum {
    crc: u32,
    len: u64,
}

impl ContentSum {
    /// Returns the sum of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { crc: crc32fast::hash(bytes), len: bytes.len() as u64 }
    }

    /// Adds content that follows.
    pub fn append(&mut self, next: Self) {
        let mut hasher = Hasher::new_with_initial_len(self.crc, self.len);
        hasher.combine(&Hasher::new_with_initial_len(next.crc, next.len));
        *self = Self { crc: hasher.finalize(), len: self.len + next.len };
    }

    /// Returns the CRC-32.
    pub(super) fn crc(self) -> u32 {
        self.crc
    }

    /// Returns the length in bytes.
    pub fn len(self) -> u64 {
        self.len
    }

    /// Returns true if there is no content.
    pub fn is_empty(self) -> bool {
        self.len == 0
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
