//! Any split of a PROXY protocol header parses alike, within its bound, and takes no byte after its end.
//!
//! The first byte of the input is the size of the parts.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/listen/proxy/header.rs"]
mod header;

use header::{Header, MAX_BYTES, MalformedHeader};

fuzz_target!(|input: &[u8]| {
    let [size, bytes @ ..] = input else { return };
    let whole = read(bytes, usize::MAX);

    assert_eq!(read(bytes, usize::from(*size) + 1), whole);
    assert_eq!(read(bytes, 1), whole);
    if let Some((Ok(Header::Complete(_)), taken)) = whole {
        assert!(taken <= MAX_BYTES);
        // The bytes that follow change nothing, and one byte less is incomplete.
        assert_eq!(read(&bytes[..taken], usize::MAX), whole);
        assert_eq!(read(&bytes[..taken - 1], usize::MAX), None);
    }
});

/// Returns the result and the number of bytes it took, or `None` if the header is incomplete.
fn read(bytes: &[u8], size: usize) -> Option<(Result<Header, MalformedHeader>, usize)> {
    let mut taken = 0;
    loop {
        match Header::parse(&bytes[..taken]) {
            Ok(Header::Incomplete(least)) => {
                assert!((1..=MAX_BYTES).contains(&least));
                let more = least.min(size).min(bytes.len() - taken);
                if more == 0 {
                    return None;
                }
                taken += more;
            }
            // In larger parts the error may come a few bytes later.
            Err(malformed) => return Some((Err(malformed), 0)),
            complete => return Some((complete, taken)),
        }
    }
}
