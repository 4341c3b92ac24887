//! Fenced blocks of a page of Markdown.
//!
//! The word after the backticks is the kind of a block: `sh` is run, `console` is not run and is listed with its reason,
//! `text output` is the output of the block of commands before it, and `toml NAME` is a file for the commands of its page.
//! Other blocks are only for reading.

use super::{pages, read};

/// A fenced block.
pub struct Block {
    /// The line of its opening fence, from 1.
    pub line: usize,
    pub kind: String,
    /// The second word after the backticks.
    pub name: Option<String>,
    pub text: String,
}

const KINDS: [&str; 14] =
    ["sh", "console", "text", "toml", "json", "yaml", "ini", "nginx", "html", "js", "jsx", "vue", "python", "rust"];

/// Returns the blocks of a page, in order.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for (index, line) in text.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if is_open => is_open = false,
            Some(words) => {
                let mut words = words.split_whitespace().map(ToOwned::to_owned);
                let kind = words.next().unwrap_or_default();
                blocks.push(Block { line: index + 1, kind, name: words.next(), text: String::new() });
                is_open = true;
            }
            None if is_open => {
                let block = blocks.last_mut().expect("one is open");
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {}
        }
    }
    assert!(!is_open, "the last block has no end");
    blocks
}

#[test]
fn every_code_block_names_its_kind() {
    for page in pages() {
        let text = read(&page);
        for block in blocks(&text) {
            let place = format!("{}:{}", page.display(), block.line);
            assert!(KINDS.contains(&block.kind.as_str()), "{place}: `{}` is none of {KINDS:?}", block.kind);
        }
        if let Some(line) = indented_block(&text) {
            panic!("{}:{line}: an indented block does not say what it is; use a fence", page.display());
        }
    }
}

/// Returns the first line of a block that is only indented.
fn indented_block(text: &str) -> Option<usize> {
    let (mut is_fenced, mut is_list, mut was_blank) = (false, false, true);
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            is_fenced = !is_fenced;
        }
        let is_item =
            line.trim_start().starts_with(['-', '*']) || line.starts_with(|first: char| first.is_ascii_digit());
        if !is_fenced && was_blank && line.starts_with("    ") && !is_list {
            return Some(index + 1);
        }
        was_blank = line.trim().is_empty();
        is_list = is_item || (is_list && (was_blank || line.starts_with(' ')));
    }
    None
}

#[test]
fn code_blocks_are_parsed() {
    let text = "a\n\n```sh\nls\n```\n\n```text output\nb\n```\n- x\n\n    y\n";
    let found: Vec<_> =
        blocks(text).into_iter().map(|block| (block.line, block.kind, block.name, block.text)).collect();

    let expected = [
        (3, "sh".to_owned(), None, "ls\n".to_owned()),
        (7, "text".to_owned(), Some("output".to_owned()), "b\n".to_owned()),
    ];
    assert_eq!(found, expected);
    assert_eq!(indented_block(text), None);
    assert_eq!(indented_block("a\n\n    ls\n"), Some(3));
}
