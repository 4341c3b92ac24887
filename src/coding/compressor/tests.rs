use std::io::Read as _;

use proptest::prelude::*;

use super::*;
use crate::coding::ContentSum;
use crate::coding::decoder::Decoder;

fn coding() -> impl Strategy<Value = ContentCoding> {
    prop_oneof![Just(ContentCoding::Gzip), Just(ContentCoding::Zstd)]
}

#[derive(Clone, Debug)]
enum Piece {
    Compressed(Vec<u8>),
    Reset,
    Empty,
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        8 => "(tick|price|[a-z0-9 ]{0,40}){1,30}".prop_map(|text| Piece::Compressed(text.into_bytes())),
        2 => proptest::collection::vec(any::<u8>(), 1..20_000).prop_map(Piece::Compressed),
        1 => Just(Piece::Reset),
        1 => Just(Piece::Empty),
    ]
}

proptest! {
    #[test]
    fn each_piece_can_be_decoded_as_soon_as_its_bytes_are_there(
        coding in coding(), pieces in proptest::collection::vec(piece(), 1..30)
    ) {
        let (mut compressor, mut decoder) = (Compressor::new(coding), Decoder::new(coding));
        let mut is_context_open = false;

        for piece in pieces {
            match piece {
                Piece::Compressed(content) if content.is_empty() => {}
                Piece::Compressed(content) => {
                    prop_assert_eq!(decoder.decode(&compressor.compress(&content)), content);
                    is_context_open = true;
                }
                Piece::Empty if is_context_open => {
                    prop_assert_eq!(decoder.decode(coding.empty_block()), b"");
                }
                Piece::Empty => prop_assert_eq!(decoder.decode(&coding.store(b":\n")), b":\n"),
                Piece::Reset => {
                    if is_context_open {
                        let content = decoder.decode(coding.end_of_context());
                        prop_assert!(content.is_empty() || content == b":\n");
                    }
                    compressor.reset();
                    is_context_open = false;
                }
            }
        }
    }

    #[test]
    fn stored_content_of_any_length_is_decoded(coding in coding(), len in 0_usize..300_000) {
        let content: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).expect("small")).collect();

        prop_assert_eq!(Decoder::new(coding).decode(&coding.store(&content)), content);
    }
}

#[test]
fn a_whole_response_is_a_valid_gzip_member() {
    let mut compressor = Compressor::new(ContentCoding::Gzip);
    let mut response = ContentCoding::Gzip.start().to_vec();
    let mut sum = ContentSum::of(b": prelude\n");
    response.extend(ContentCoding::Gzip.store(b": prelude\n"));
    for event in [b"data: 1\n\n", b"data: 2\n\n"] {
        response.extend(compressor.compress(event));
        sum.append(ContentSum::of(event));
    }
    response.extend(ContentCoding::Gzip.end(sum));

    let mut content = String::new();
    flate2::read::GzDecoder::new(&response[..]).read_to_string(&mut content).expect("the checksum is right");

    assert_eq!(content, ": prelude\ndata: 1\n\ndata: 2\n\n");
}

#[test]
fn pieces_that_resemble_those_before_take_few_bytes() {
    for coding in ContentCoding::ALL {
        let mut compressor = Compressor::new(coding);
        let event = |n: u32| format!("id: {n}\ndata: {{\"symbol\":\"ACME\",\"price\":{n}.25,\"volume\":1200}}\n\n");

        let first = compressor.compress(event(1).as_bytes()).len();
        let second = compressor.compress(event(2).as_bytes()).len();

        assert!(second * 2 < first, "{}: {first} and then {second} bytes", coding.as_str());
    }
}
