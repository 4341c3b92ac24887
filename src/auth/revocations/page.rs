//! The list of revocations in force, a page at a time.
//!
//! Pages go by id, so what is there all the time is in exactly one of them, whatever comes and goes between two. What is
//! both posted and filed is one row.

use std::time::SystemTime;

use super::entries::{RevocationEntries, RevocationEntry, later};
use super::id::RevocationId;

/// Most rows of a page.
pub(super) const MAX_ROWS: usize = 1000;

/// A piece of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationPage {
    /// In the order of their ids; at most 1000.
    pub rows: Vec<RevocationRow>,
    /// After which id the next page begins. `None`: this is the last one.
    pub next: Option<RevocationId>,
}

/// One revocation in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationRow {
    /// Its name.
    pub id: RevocationId,
    /// Which claim, as it was written.
    pub claim: String,
    /// The claim's value.
    pub value: String,
    /// Until when, the later one of both ends; none: for good.
    pub until: Option<SystemTime>,
    /// Where it comes from.
    pub from: RevocationOrigin,
}

/// Where a revocation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationOrigin {
    /// It was posted.
    Posted,
    /// The file has it.
    File,
    /// Both.
    Both,
}

impl RevocationOrigin {
    /// As it is shown: `posted`, `file` or `both`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::File => "file",
            Self::Both => "both",
        }
    }
}

/// An id with what was posted and what was filed under it.
pub(super) type Pair<'t> = (RevocationId, Option<&'t RevocationEntry>, Option<&'t RevocationEntry>);

/// Both as one list, after that id.
pub(super) fn merged<'t>(
    posted: &'t RevocationEntries,
    filed: &'t RevocationEntries,
    after: Option<RevocationId>,
) -> impl Iterator<Item = Pair<'t>> {
    let (mut posted, mut filed) = (posted.after(after).peekable(), filed.after(after).peekable());
    std::iter::from_fn(move || {
        let heads = posted.peek().into_iter().chain(filed.peek());
        let id = heads.map(|(id, _)| *id).min()?;
        let posted = posted.next_if(|(head, _)| *head == id);
        let filed = filed.next_if(|(head, _)| *head == id);
        Some((id, posted.map(|(_, entry)| entry), filed.map(|(_, entry)| entry)))
    })
}

/// What is shown of a pair, if anything of it is in force.
pub(super) fn row((id, posted, filed): Pair<'_>, now: SystemTime) -> Option<RevocationRow> {
    let in_force = |entry: &&RevocationEntry| entry.is_in_force(now);
    let (entry, until, from) = match (posted.filter(in_force), filed.filter(in_force)) {
        (Some(posted), Some(filed)) => (posted, later(posted.until, filed.until), RevocationOrigin::Both),
        (Some(posted), None) => (posted, posted.until, RevocationOrigin::Posted),
        (None, Some(filed)) => (filed, filed.until, RevocationOrigin::File),
        (None, None) => return None,
    };
    Some(RevocationRow { id, claim: entry.claim.as_str().to_owned(), value: entry.value.to_string(), until, from })
}
