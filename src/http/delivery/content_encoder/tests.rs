use super::*;
use crate::coding::ContentCoding;
use crate::http::delivery::fixture::DeliveryFixture;
use crate::stream::CodingWindow;

const WINDOW: CodingWindow = CodingWindow { events: 64, time: std::time::Duration::from_secs(10) };

#[tokio::test]
async fn what_is_saved_is_counted_after_the_overhead_is_made_up_for() {
    let fixture = DeliveryFixture::new();
    let log = fixture.stream.coded_log(ContentCoding::Gzip, WINDOW);
    let mut encoder = ContentEncoder::new(CodedReader::new(log));
    let prelude = encoder.start(b": prelude\n").len();

    let at_first = encoder.take_saved(prelude);
    let event = format!("data: {}\n\n", "a".repeat(1000));
    encoder.reader.own(event.as_bytes());
    let later = encoder.take_saved(100);

    assert_eq!(at_first, 0, "the start of the coding takes more than the prelude");
    assert_eq!(later, (event.len() - 100 - (prelude - ": prelude\n".len())) as u64);
}
