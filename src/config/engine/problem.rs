//! Mistakes in the configuration file: what is wrong, at which key, in which line and column.
//!
//! Problems come sorted by position and all at once. No problem quotes a value of the file, but for the segments of a
//! route's path: the position says where it stands, and what is never quoted cannot leak. Does not find problems; that
//! is the reader's work.

use std::fmt;
use std::path::{Path, PathBuf};

use super::watched_files::WatchedFiles;
use crate::runtime::arithmetic;

/// One mistake in the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in that line, in characters, from 1.
    pub column: usize,
    /// The path of the key, such as `routes[2].auth.issuers[0]`; `file` or `syntax` where there is none.
    pub key: String,
    /// What is wrong, in words, without the value itself.
    pub message: String,
}

/// All mistakes in one file, sorted by position. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: PathBuf,
    problems: Vec<Problem>,
    watched_files: WatchedFiles,
}

/// A mistake whose position is still a byte offset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) offset: usize,
    pub(crate) key: String,
    pub(crate) message: String,
}

impl Problems {
    /// Turns offsets into lines and columns.
    pub(crate) fn locate(file: &Path, content: &[u8], mut found: Vec<Finding>) -> Self {
        found.sort();
        found.dedup();
        let problems = found
            .into_iter()
            .map(|Finding { offset, key, message }| {
                let (line, column) = position(content, offset);
                Problem { line, column, key, message }
            })
            .collect();
        Self { file: file.to_owned(), problems, watched_files: WatchedFiles::default() }
    }

    /// With the files that were read, any of which may be the one to be mended.
    pub(crate) fn with_watched_files(mut self, files: WatchedFiles) -> Self {
        self.watched_files = files;
        self
    }

    /// The files that were read, or could not be, as they looked just before.
    pub fn watched_files(&self) -> &WatchedFiles {
        &self.watched_files
    }

    /// A problem of the file as a whole.
    pub(crate) fn for_file(file: &Path, message: String) -> Self {
        Self::locate(file, &[], vec![Finding { offset: 0, key: "file".to_owned(), message }])
    }

    /// The file they are in, as it was named.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The problems, by position.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.problems.iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One line for each problem, `FILE:LINE:COLUMN: key: what is wrong`, without a newline at the end.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{}:{problem}", self.file.display())?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.line, self.column, self.key, self.message)
    }
}

impl std::error::Error for Problems {}

/// Line and column, from 1, of a byte offset. A column counts characters, as editors do.
fn position(content: &[u8], offset: usize) -> (usize, usize) {
    let before = &content[..offset.min(content.len())];
    let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    (line, String::from_utf8_lossy(&before[line_start..]).chars().count() + 1)
}

/// The ending ` (did you mean "…"?)`, or nothing.
pub(crate) fn did_you_mean(suggestion: Option<impl fmt::Display>) -> String {
    suggestion.map_or_else(String::new, |suggestion| format!(" (did you mean \"{suggestion}\"?)"))
}

/// The known name that `given` is probably a misspelling of.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given: Vec<char> = given.chars().flat_map(char::to_lowercase).collect();
    // A third of the letters may be wrong: more is another word, less misses "hearbeat_" and its like.
    let allowed = arithmetic::clamp(given.len() / 3, 1, 4);
    known
        .into_iter()
        .map(|name| (distance(&given, &name.chars().flat_map(char::to_lowercase).collect::<Vec<_>>()), name))
        .filter(|&(distance, _)| distance <= allowed)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

/// Levenshtein's distance, in which two neighbours that have changed places count once.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut current = vec![i + 1];
        for j in 0..b.len() {
            let replaced = previous[j] + usize::from(a[i] != b[j]);
            let mut least = replaced.min(previous[j + 1] + 1).min(current[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            current.push(least);
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_counts_characters_and_a_line_counts_newlines() {
        let text = "a\nüx = 1\n";

        assert_eq!(position(text.as_bytes(), 0), (1, 1));
        assert_eq!(position(text.as_bytes(), text.find('x').expect("there")), (2, 2));
        assert_eq!(position(text.as_bytes(), 1000), (3, 1));
        assert_eq!(position(b"", 0), (1, 1));
    }

    #[test]
    fn a_misspelling_has_a_suggestion_and_another_word_has_none() {
        let known = ["heartbeat", "retry", "max_age"];

        assert_eq!(nearest("hearbeat", known), Some("heartbeat"));
        assert_eq!(nearest("rerty", known), Some("retry"));
        assert_eq!(nearest("max-age", known), Some("max_age"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
    }
}
