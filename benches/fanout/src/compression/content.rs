//! Events as producers send them: ticks, tokens of a language model, rows of a table. Seeded, so that a client knows what
//! each has to be.

use fastrand::Rng;

/// A kind of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentKind {
    /// Ticks of twelve symbols in JSON, some 200 bytes each.
    Ticks,
    /// Tokens of a language model, each in the JSON that chat interfaces send.
    Tokens,
    /// Rows of a table of orders in HTML.
    Rows,
}

/// The events of one stream, in order.
pub struct Content {
    kind: ContentKind,
    random: Rng,
    /// The number of the newest event.
    number: u64,
    /// Milliseconds since the first event.
    time: u64,
    symbols: [Symbol; SYMBOLS.len()],
    /// Tokens that remain of the answer, and its id.
    answer: (u32, String),
}

#[derive(Clone, Copy, Default)]
struct Symbol {
    cents: i64,
    change: i64,
    volume: u64,
}

impl ContentKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Ticks, Self::Tokens, Self::Rows];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ticks => "ticks",
            Self::Tokens => "tokens",
            Self::Rows => "rows",
        }
    }

    /// Returns the kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Content {
    /// Starts before the first event, whose id is 1.
    pub fn new(kind: ContentKind) -> Self {
        let mut random = Rng::with_seed(SEED);
        let symbols = SYMBOLS.map(|_| Symbol {
            cents: random.i64(2_000..60_000),
            change: random.i64(-300..300),
            volume: random.u64(1_000_000..50_000_000),
        });
        Self { kind, random, number: 0, time: 0, symbols, answer: (0, String::new()) }
    }

    /// Returns the number of the newest event.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the lines of the next event, in the form that the gateway sends: its id, its type, its data, a blank line.
    pub fn next_event(&mut self) -> String {
        self.number += 1;
        self.time += self.random.u64(5..60);
        let number = self.number;
        match self.kind {
            ContentKind::Ticks => format!("id: {number}\ndata: {}\n\n", self.tick()),
            ContentKind::Tokens => format!("id: {number}\ndata: {}\n\n", self.token()),
            ContentKind::Rows => {
                let row = self.row();
                let data: String = row.lines().map(|line| format!("data: {line}\n")).collect();
                format!("id: {number}\nevent: order\n{data}\n")
            }
        }
    }

    fn tick(&mut self) -> String {
        let random = &mut self.random;
        let index = random.usize(..SYMBOLS.len());
        let symbol = &mut self.symbols[index];
        let step = random.i64(-6..=6);
        symbol.cents = (symbol.cents + step).max(100);
        symbol.change += step;
        let size = 100 * random.u64(1..20);
        symbol.volume += size;
        let (bid, ask) = (symbol.cents - random.i64(1..3), symbol.cents + random.i64(1..3));
        format!(
            "{{\"symbol\":\"{}\",\"bid\":{},\"bidSize\":{},\"ask\":{},\"askSize\":{},\"last\":{},\"lastSize\":{size},\
             \"change\":{},\"volume\":{},\"venue\":\"{}\",\"time\":\"{}\"}}",
            SYMBOLS[index],
            money(bid),
            100 * random.u64(1..40),
            money(ask),
            100 * random.u64(1..40),
            money(symbol.cents),
            money(symbol.change),
            symbol.volume,
            VENUES[random.usize(..VENUES.len())],
            clock(self.time),
        )
    }

    fn token(&mut self) -> String {
        let random = &mut self.random;
        if self.answer.0 == 0 {
            self.answer = (random.u32(150..600), (0..29).map(|_| random.alphanumeric()).collect());
        }
        self.answer.0 -= 1;
        let word = WORDS[random.usize(..WORDS.len())];
        // A part of the words take two tokens, and some are followed by a mark.
        let token = match random.u8(..10) {
            0 => word.get(word.len() / 2..).unwrap_or(word).to_owned(),
            1 => [",", ".", ".\\n\\n", ":"][random.usize(..4)].to_owned(),
            _ => format!(" {word}"),
        };
        format!(
            "{{\"id\":\"chatcmpl-{}\",\"object\":\"chat.completion.chunk\",\"created\":{},\"model\":\"gpt-4o-2024-08-06\",\
             \"service_tier\":\"default\",\"system_fingerprint\":\"fp_a1b2c3d4e5\",\"choices\":[{{\"index\":0,\
             \"delta\":{{\"content\":\"{token}\"}},\"logprobs\":null,\"finish_reason\":null}}]}}",
            self.answer.1,
            EPOCH + self.time / 1000,
        )
    }

    fn row(&mut self) -> String {
        let random = &mut self.random;
        let order = 48_000 + random.u32(..2_000);
        let (state, word) =
            [("open", "open"), ("paid", "paid"), ("sent", "on its way"), ("late", "late")][random.usize(..4)];
        let quantity = random.i64(1..12);
        let total = money(quantity * random.i64(450..90_000));
        let time = clock(self.time);
        format!(
            "<tr id=\"order-{order}\" class=\"order order--{state}\">\n\
             \x20 <td class=\"order__number\"><a href=\"/orders/{order}\">{order}</a></td>\n\
             \x20 <td class=\"order__customer\">{} {}</td>\n\
             \x20 <td class=\"order__article\">{}</td>\n\
             \x20 <td class=\"order__quantity\">{quantity}</td>\n\
             \x20 <td class=\"order__total\">{total} EUR</td>\n\
             \x20 <td class=\"order__state\"><span class=\"badge badge--{state}\">{word}</span></td>\n\
             \x20 <td class=\"order__time\"><time datetime=\"{time}\">{}</time></td>\n\
             </tr>",
            FIRST_NAMES[random.usize(..FIRST_NAMES.len())],
            LAST_NAMES[random.usize(..LAST_NAMES.len())],
            ARTICLES[random.usize(..ARTICLES.len())],
            &time[11..19],
        )
    }
}

/// Cents as an amount.
fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

/// The time of day of an event.
fn clock(milliseconds: u64) -> String {
    let seconds = 34_200 + milliseconds / 1000;
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("2026-11-27T{hours:02}:{minutes:02}:{:02}.{:03}Z", seconds % 60, milliseconds % 1000)
}

const SEED: u64 = 18;

/// The time of the first event in seconds.
const EPOCH: u64 = 1_795_771_800;

const SYMBOLS: [&str; 12] =
    ["AAPL", "AMZN", "BRKB", "GOOGL", "JPM", "LLY", "META", "MSFT", "NVDA", "TSLA", "UNH", "XOM"];

const VENUES: [&str; 5] = ["XNAS", "XNYS", "ARCX", "BATS", "IEXG"];

const FIRST_NAMES: [&str; 16] = [
    "Anna", "Ben", "Carla", "David", "Elif", "Femi", "Greta", "Hiro", "Ines", "Jonas", "Karim", "Lena", "Mei", "Nora",
    "Omar", "Petra",
];

const LAST_NAMES: [&str; 16] = [
    "Adler", "Bauer", "Costa", "Dubois", "Eriksen", "Fischer", "Garcia", "Haas", "Ivanova", "Jansen", "Kowalski",
    "Lindholm", "Moreau", "Nowak", "Okafor", "Peters",
];

const ARTICLES: [&str; 12] = [
    "Oak table, 180 cm",
    "Desk lamp, brass",
    "Chair, ash, set of two",
    "Wool blanket, grey",
    "Bookshelf, five boards",
    "Kettle, 1.7 l",
    "Coat rack, steel",
    "Mirror, round, 60 cm",
    "Rug, 200 x 300 cm",
    "Armchair, green velvet",
    "Plant pot, terracotta",
    "Wall clock, walnut",
];

const WORDS: [&str; 120] = [
    "the",
    "of",
    "and",
    "a",
    "to",
    "in",
    "is",
    "that",
    "for",
    "it",
    "with",
    "as",
    "on",
    "this",
    "are",
    "be",
    "by",
    "can",
    "from",
    "which",
    "an",
    "or",
    "each",
    "at",
    "not",
    "have",
    "when",
    "one",
    "has",
    "will",
    "more",
    "its",
    "time",
    "only",
    "between",
    "server",
    "event",
    "connection",
    "stream",
    "client",
    "message",
    "browser",
    "response",
    "request",
    "header",
    "example",
    "first",
    "however",
    "because",
    "number",
    "value",
    "where",
    "both",
    "every",
    "large",
    "small",
    "memory",
    "network",
    "system",
    "process",
    "function",
    "returns",
    "data",
    "order",
    "result",
    "following",
    "means",
    "important",
    "should",
    "could",
    "used",
    "using",
    "without",
    "before",
    "after",
    "while",
    "until",
    "open",
    "close",
    "reads",
    "writes",
    "text",
    "line",
    "field",
    "simple",
    "complex",
    "often",
    "usually",
    "instead",
    "several",
    "different",
    "same",
    "other",
    "also",
    "then",
    "there",
    "these",
    "those",
    "such",
    "some",
    "many",
    "most",
    "any",
    "all",
    "new",
    "old",
    "next",
    "last",
    "step",
    "case",
    "part",
    "way",
    "point",
    "note",
    "performance",
    "latency",
    "compression",
    "bytes",
    "length",
    "context",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_expects_the_same_events_and_no_two_are_equal() {
        for kind in ContentKind::ALL {
            let (mut one, mut other) = (Content::new(kind), Content::new(kind));
            let events: Vec<_> = (0..200).map(|_| one.next_event()).collect();

            assert!(events.iter().all(|event| *event == other.next_event()), "{kind:?}");
            assert!(events.windows(2).all(|pair| pair[0] != pair[1]), "{kind:?}");
            let mean = events.iter().map(String::len).sum::<usize>() / events.len();
            assert!((190..800).contains(&mean), "{kind:?}: {mean} bytes");
        }
    }
}
