//! A PROXY protocol header is read alike in any split, never takes a byte behind its end, and never more than its bound.
//!
//! The first byte of the input is the size of the parts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rillgate_fuzz::proxy_header::{Header, MAX_BYTES};

fuzz_target!(|input: &[u8]| {
    let [size, bytes @ ..] = input else { return };
    let whole = read(bytes, usize::MAX);

    assert_eq!(read(bytes, usize::from(*size) + 1), whole);
    assert_eq!(read(bytes, 1), whole);
    if let Some((Ok(Header::Complete(_)), taken)) = whole {
        assert!(taken <= MAX_BYTES);
        // What follows changes nothing, and less is not enough.
        assert_eq!(read(&bytes[..taken], usize::MAX), whole);
        assert_eq!(read(&bytes[..taken - 1], usize::MAX), None);
    }
});

type Outcome = Result<Header, rillgate_fuzz::proxy_header::MalformedHeader>;

/// What comes out, and how many bytes it took; nothing where more would be needed.
fn read(bytes: &[u8], size: usize) -> Option<(Outcome, usize)> {
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
            // A refusal may come a few bytes later in larger parts.
            Err(malformed) => return Some((Err(malformed), 0)),
            complete => return Some((complete, taken)),
        }
    }
}
