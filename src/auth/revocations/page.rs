//! The list of revocations in force, in pages.
//!
//! Pages are ordered by id, so an entry that exists throughout is in exactly one page, whatever is added or removed in
//! between. A revocation that is both posted and in the file is one row.

use std::time::SystemTime;

use super::entries::{RevocationEntries, RevocationEntry, later};
use super::id::RevocationId;

/// Maximum number of rows in a page.
pub(super) const MAX_ROWS: usize = 1000;

/// One page of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationPage {
    /// At most 1000 rows, ordered by id.
    pub rows: Vec<RevocationRow>,
    /// The id that the next page begins after. `None`: this is the last page.
    pub next: Option<RevocationId>,
}

/// One revocation in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationRow {
    /// The id.
    pub id: RevocationId,
    /// The claim, as it was written.
    pub claim: String,
    /// The claim's value.
    pub value: String,
    /// The later of both ends. `None`: never.
    pub until: Option<SystemTime>,
    /// The origin.
    pub from: RevocationOrigin,
}

/// The origin of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationOrigin {
    /// It was posted.
    Posted,
    /// The file lists it.
    File,
    /// Both.
    Both,
}

impl RevocationOrigin {
    /// Returns the name that is shown: `posted`, `file` or `both`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::File => "file",
            Self::Both => "both",
        }
    }
}

/// An id with its posted entry and its entry from the file.
pub(super) type Pair<'t> = (RevocationId, Option<&'t RevocationEntry>, Option<&'t RevocationEntry>);

/// Merges both lists, after the given id.
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

/// Makes a row of the entries that are in force, or `None` if neither is.
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
