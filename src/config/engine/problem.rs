//! Problems of the configuration file, each with its key, line, column and message.
//!
//! All problems of a file are reported at once, sorted by position. A problem never quotes a value of the file, so that
//! secrets cannot leak; the position shows the value. The only exception is a segment of a route's path.

use std::fmt;
use std::path::{Path, PathBuf};

use super::watched_files::WatchedFiles;
use crate::runtime::arithmetic;

/// One problem in the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The path of the key, such as `routes[2].auth.issuers[0]`; `file` or `syntax` if the problem has no key.
    pub key: String,
    /// The description of the problem, without the value.
    pub message: String,
}

/// All problems of one file, sorted by position. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: PathBuf,
    problems: Vec<Problem>,
    watched_files: WatchedFiles,
}

/// A problem whose position is still an offset in bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) offset: usize,
    pub(crate) key: String,
    pub(crate) message: String,
}

impl Problems {
    /// Converts offsets to lines and columns, sorts the problems and removes duplicates.
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

    /// Attaches the files that were read. A change of any of them may solve the problems.
    pub(crate) fn with_watched_files(mut self, files: WatchedFiles) -> Self {
        self.watched_files = files;
        self
    }

    /// The files that were read or could not be read, each in its state just before.
    pub fn watched_files(&self) -> &WatchedFiles {
        &self.watched_files
    }

    /// Creates a problem of the file as a whole.
    pub(crate) fn for_file(file: &Path, message: String) -> Self {
        Self::locate(file, &[], vec![Finding { offset: 0, key: "file".to_owned(), message }])
    }

    /// The path of the file, as the caller gave it.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Iterates over the problems in order of position.
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

/// One line per problem, `FILE:LINE:COLUMN: KEY: MESSAGE`, without a newline at the end.
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

/// Returns the line and column, from 1, of an offset in bytes. Columns count characters, as editors do.
fn position(content: &[u8], offset: usize) -> (usize, usize) {
    let before = &content[..offset.min(content.len())];
    let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    (line, String::from_utf8_lossy(&before[line_start..]).chars().count() + 1)
}

/// Returns the suffix ` (did you mean "…"?)`, or an empty string.
pub(crate) fn did_you_mean(suggestion: Option<impl fmt::Display>) -> String {
    suggestion.map_or_else(String::new, |suggestion| format!(" (did you mean \"{suggestion}\"?)"))
}

/// Returns the known name that `given` probably misspells.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given: Vec<char> = given.chars().flat_map(char::to_lowercase).collect();
    // Up to a third of the letters may be wrong. More would match unrelated words, less would miss "hearbeat_".
    let allowed = arithmetic::clamp(given.len() / 3, 1, 4);
    known
        .into_iter()
        .map(|name| (distance(&given, &name.chars().flat_map(char::to_lowercase).collect::<Vec<_>>()), name))
        .filter(|&(distance, _)| distance <= allowed)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

/// Returns the edit distance: insertions, deletions, replacements, and swaps of two neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut current = vec![i + 1];
        for j in 0..b.len() {
            let replaced = previous[j] + usize::from(a[i] != b[j]);
            let mut fewest = replaced.min(previous[j + 1] + 1).min(current[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                fewest = fewest.min(before[j - 1] + 1);
            }
            current.push(fewest);
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_count_newlines() {
        let text = "a\nüx = 1\n";

        assert_eq!(position(text.as_bytes(), 0), (1, 1));
        assert_eq!(position(text.as_bytes(), text.find('x').expect("there")), (2, 2));
        assert_eq!(position(text.as_bytes(), 1000), (3, 1));
        assert_eq!(position(b"", 0), (1, 1));
    }

    #[test]
    fn suggests_a_name_for_a_misspelling_but_not_for_an_unrelated_word() {
        let known = ["heartbeat", "retry", "max_age"];

        assert_eq!(nearest("hearbeat", known), Some("heartbeat"));
        assert_eq!(nearest("rerty", known), Some("retry"));
        assert_eq!(nearest("max-age", known), Some("max_age"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
    }
}
