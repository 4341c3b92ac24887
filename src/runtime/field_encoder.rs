//! A canonical encoding of fields, for digests that identify something.
//!
//! Each field has its length in front and each list its count, so different fields never have the same bytes. The first
//! field names the kind and the version of what is encoded. The bytes are the same in every process, build and release.

use aws_lc_rs::digest::{SHA256, digest};

/// Encodes fields one after the other.
#[derive(Debug)]
pub struct FieldEncoder(Vec<u8>);

impl FieldEncoder {
    /// Starts an encoding of this kind and version.
    pub fn new(kind: &str) -> Self {
        let mut encoder = Self(Vec::with_capacity(CAPACITY));
        encoder.text(kind);
        encoder
    }

    /// Adds bytes, with their length in front.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.number(value.len());
        self.0.extend_from_slice(value);
        self
    }

    /// Adds a text, with its length in bytes in front.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    /// Adds a number of 64 bits, little-endian. A list begins with its count.
    pub fn number(&mut self, value: usize) -> &mut Self {
        self.0.extend_from_slice(&(value as u64).to_le_bytes());
        self
    }

    /// Returns the SHA-256 digest of all fields.
    pub fn digest(&self) -> [u8; 32] {
        digest(&SHA256, &self.0).as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

/// Bytes that are reserved at first: enough for the usual stream.
const CAPACITY: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A field of any kind.
    #[derive(Clone, Debug, PartialEq)]
    enum Field {
        Text(String),
        List(Vec<String>),
    }

    /// Short values over few characters, which concatenate alike often.
    fn text() -> impl Strategy<Value = String> {
        "[ab\u{0}]{0,3}"
    }

    /// Two sequences of fields of the same kinds, as two encodings of one version have.
    fn two_sequences() -> impl Strategy<Value = (Vec<Field>, Vec<Field>)> {
        let pair = prop_oneof![
            (text(), text()).prop_map(|(one, other)| (Field::Text(one), Field::Text(other))),
            (vec(text(), 0..3), vec(text(), 0..3)).prop_map(|(one, other)| (Field::List(one), Field::List(other))),
        ];
        vec(pair, 0..5).prop_map(|pairs| pairs.into_iter().unzip())
    }

    fn encode(fields: &[Field]) -> Vec<u8> {
        let mut encoder = FieldEncoder::new("test 1");
        for field in fields {
            match field {
                Field::Text(text) => {
                    encoder.text(text);
                }
                Field::List(items) => {
                    encoder.number(items.len());
                    items.iter().for_each(|item| {
                        encoder.text(item);
                    });
                }
            }
        }
        encoder.0
    }

    proptest! {
        #[test]
        fn different_fields_never_have_the_same_bytes((one, other) in two_sequences()) {
            prop_assert_eq!(encode(&one) == encode(&other), one == other);
            // Nor is one the beginning of the other, so what follows cannot make up for a difference.
            prop_assert!(one == other || !encode(&one).starts_with(&encode(&other)));
        }
    }

    #[test]
    fn the_bytes_are_the_same_in_every_build() {
        let mut encoder = FieldEncoder::new("test 1");
        encoder.text("é").number(2).bytes(&[]);

        assert_eq!(encoder.0, *b"\x06\0\0\0\0\0\0\0test 1\x02\0\0\0\0\0\0\0\xc3\xa9\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    }
}
