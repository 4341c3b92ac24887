//! The parameters with which `/streams` and `/events` choose and sort streams.
//!
//! Parsed strictly: a misspelt parameter must not show streams that were not asked for. Does not know where the streams
//! come from.

use url::form_urlencoded;

use crate::telemetry::StreamState;

/// The streams that an operator asks for, and their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamQuery {
    /// Default: [`StreamSort::Trouble`].
    pub(super) sort: StreamSort,
    /// Default: that of the sort.
    pub(super) order: Option<SortOrder>,
    /// Maximum number of streams, 1 to [`MAX_LIMIT`]. `None`: the default of the resource.
    pub(super) limit: Option<usize>,
    /// The exact name of the route.
    pub(super) route: Option<String>,
    /// The state.
    pub(super) state: Option<StreamState>,
    /// A text that route and key have, without regard to case. Empty: any.
    pub(super) text: String,
}

/// The property that streams are sorted by. Equal ones are sorted by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum StreamSort {
    /// Streams that are retrying or stuck, then those with most subscribers.
    #[default]
    Trouble,
    /// The number of subscribers, descending.
    Subscribers,
    /// Events per second, descending.
    Rate,
    /// Events that the slowest client lacks, descending.
    Lag,
    /// The state, the worst first.
    State,
    /// Route and key, ascending.
    Name,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SortOrder {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

impl StreamQuery {
    /// Parses the query of a request.
    ///
    /// # Errors
    ///
    /// Why it is invalid, for the operator.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, String> {
        let mut parsed = Self::default();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if seen.contains(&name) {
                return Err(format!("{name}: given more than once"));
            }
            parsed.set(&name, &value)?;
            seen.push(name);
        }
        Ok(parsed)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "sort" => self.sort = one_of(name, value, &SORTS)?,
            "order" => self.order = Some(one_of(name, value, &ORDERS)?),
            "state" => self.state = Some(one_of(name, value, &StreamState::ALL.map(|state| (state.as_str(), state)))?),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                self.limit =
                    Some(limit.ok_or_else(|| format!("limit: expected a whole number from 1 to {MAX_LIMIT}"))?);
            }
            "route" => self.route = Some(value.to_owned()),
            "q" if value.len() > MAX_TEXT_BYTES => return Err(format!("q: expected at most {MAX_TEXT_BYTES} bytes")),
            "q" => self.text = value.to_lowercase(),
            _ => return Err(format!("unknown parameter: expected {PARAMETERS}")),
        }
        Ok(())
    }

    /// Returns true for the default order.
    fn is_natural(&self) -> bool {
        let natural = match self.sort {
            StreamSort::Name => SortOrder::Ascending,
            StreamSort::Trouble | StreamSort::Subscribers | StreamSort::Rate | StreamSort::Lag | StreamSort::State => {
                SortOrder::Descending
            }
        };
        self.order.is_none_or(|order| order == natural)
    }

    /// Returns an order as the query wants it: as it is, or reversed.
    pub(super) fn directed(&self, natural: std::cmp::Ordering) -> std::cmp::Ordering {
        if self.is_natural() { natural } else { natural.reverse() }
    }

    /// Returns true if a stream of this route, key and state is asked for.
    pub(super) fn matches(&self, route: &str, key: &str, state: StreamState) -> bool {
        self.state.is_none_or(|wanted| wanted == state)
            && self.route.as_deref().is_none_or(|wanted| wanted == route)
            && (self.text.is_empty() || format!("{route} {key}").to_lowercase().contains(&self.text))
    }
}

fn one_of<T: Copy>(name: &str, value: &str, known: &[(&'static str, T)]) -> Result<T, String> {
    let found = known.iter().find(|(word, _)| *word == value).map(|(_, found)| *found);
    found.ok_or_else(|| {
        let words: Vec<_> = known.iter().map(|(word, _)| *word).collect();
        format!("{name}: expected one of {}", words.join(", "))
    })
}

const SORTS: [(&str, StreamSort); 6] = [
    ("trouble", StreamSort::Trouble),
    ("subscribers", StreamSort::Subscribers),
    ("rate", StreamSort::Rate),
    ("lag", StreamSort::Lag),
    ("state", StreamSort::State),
    ("name", StreamSort::Name),
];
const ORDERS: [(&str, SortOrder); 2] = [("asc", SortOrder::Ascending), ("desc", SortOrder::Descending)];
const PARAMETERS: &str = "sort, order, limit, route, state or q";

/// Maximum of `limit`.
pub(super) const MAX_LIMIT: usize = 1000;
/// Maximum number of bytes of `q`.
const MAX_TEXT_BYTES: usize = 200;

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;

    fn parse(query: &str) -> Result<StreamQuery, String> {
        StreamQuery::parse(Some(query))
    }

    #[test]
    fn all_parameters_are_optional() {
        assert_eq!(StreamQuery::parse(None), Ok(StreamQuery::default()));
        assert_eq!(parse(""), Ok(StreamQuery::default()));
        assert_eq!(parse("q="), Ok(StreamQuery::default()));
        let all = parse("sort=lag&order=asc&limit=1000&route=a%20b&state=stuck&q=%2FEUR%26");
        let expected = StreamQuery {
            sort: StreamSort::Lag,
            order: Some(SortOrder::Ascending),
            limit: Some(1000),
            route: Some("a b".to_owned()),
            state: Some(StreamState::Stuck),
            text: "/eur&".to_owned(),
        };
        assert_eq!(all, Ok(expected));
    }

    #[test]
    fn whatever_is_no_parameter_or_no_value_is_refused_with_what_is_expected() {
        let long = format!("q={}", "a".repeat(201));
        for (query, part) in [
            ("sort=size", "sort: expected one of trouble, subscribers, rate, lag, state, name"),
            ("sort=", "sort: expected"),
            ("order=up", "order: expected one of asc, desc"),
            ("limit=0", "limit: expected a whole number from 1 to 1000"),
            ("limit=1001", "limit: expected"),
            ("limit=ten", "limit: expected"),
            ("limit=-1", "limit: expected"),
            ("state=dead", "state: expected one of opening, live, retrying, complete, stuck, incomplete"),
            ("q=a&q=b", "q: given more than once"),
            ("filter=a", "unknown parameter: expected sort, order, limit, route, state or q"),
            ("q=a&", ""),
            (&long, "q: expected at most 200 bytes"),
        ] {
            match parse(query) {
                Err(problem) => assert!(!part.is_empty() && problem.contains(part), "{query}: {problem}"),
                Ok(parsed) => assert!(part.is_empty(), "{query}: {parsed:?}"),
            }
        }
    }

    #[test]
    fn a_stream_matches_all_parameters() {
        let matches = |query: &str| parse(query).map(|query| query.matches("news", "/news/Today", StreamState::Live));

        for query in ["", "q=news", "q=TODAY", "q=s%20%2Fn", "route=news", "state=live", "route=news&state=live&q=day"]
        {
            assert_eq!(matches(query), Ok(true), "{query}");
        }
        for query in ["q=tomorrow", "route=new", "route=", "state=stuck", "route=news&state=opening", "route=x&q=news"]
        {
            assert_eq!(matches(query), Ok(false), "{query}");
        }
    }

    #[test]
    fn the_order_that_is_not_natural_is_reversed() {
        let directed = |query: &str| parse(query).map(|query| query.directed(Ordering::Less));

        for query in ["", "sort=name", "sort=name&order=asc", "sort=lag", "sort=lag&order=desc"] {
            assert_eq!(directed(query), Ok(Ordering::Less), "{query}");
        }
        for query in ["sort=name&order=desc", "sort=lag&order=asc", "order=asc"] {
            assert_eq!(directed(query), Ok(Ordering::Greater), "{query}");
        }
    }
}
