//! Parses as much Markdown as the checks need.

use std::fs;
use std::path::{Path, PathBuf};

/// A page of the documentation.
#[derive(Debug)]
pub(crate) struct Page {
    /// Path relative to the root of the repository.
    pub(crate) path: PathBuf,
    /// Lines outside fences, with their numbers.
    pub(crate) prose: Vec<(usize, String)>,
    /// Fences of the page.
    pub(crate) fences: Vec<Fence>,
}

/// A block between lines of three backticks.
#[derive(Debug)]
pub(crate) struct Fence {
    /// The word after the backticks.
    pub(crate) language: String,
    /// The lines, with their numbers, without the indentation of the fence.
    pub(crate) lines: Vec<(usize, String)>,
}

/// Text after a command that the emulated leaf does not know.
const DEVICE: &str = " (device)";

/// Returns the root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every page of `docs`, the front page and those of the labs, in order.
pub(crate) fn all() -> Vec<Page> {
    let mut paths = vec![root().join("README.md")];
    gather(&root().join("docs"), &mut paths);
    gather(&root().join("lab"), &mut paths);
    paths.iter().map(|path| Page::read(path)).collect()
}

/// Returns the pages of one folder of `docs`.
pub(crate) fn folder(name: &str) -> Vec<Page> {
    let mut paths = Vec::new();
    gather(&root().join("docs").join(name), &mut paths);
    paths.iter().map(|path| Page::read(path)).collect()
}

fn gather(folder: &Path, paths: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    found.sort();
    for path in found {
        if path.is_dir() {
            gather(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
}

impl Page {
    /// Reads a page by its full path.
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let path = path.strip_prefix(root()).unwrap_or(path).to_owned();
        let mut page = Self { path, prose: Vec::new(), fences: Vec::new() };
        let mut open: Option<(usize, Fence)> = None;
        for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
            let indentation = line.len() - line.trim_start().len();
            match (line.trim_start().strip_prefix("```").filter(|rest| !rest.contains('`')), open.take()) {
                (Some(language), None) => {
                    open = Some((indentation, Fence { language: language.trim().to_owned(), lines: Vec::new() }));
                }
                (Some(_), Some((_, fence))) => page.fences.push(fence),
                (None, Some((indented, mut fence))) => {
                    fence.lines.push((number, line.get(indented..).unwrap_or_default().to_owned()));
                    open = Some((indented, fence));
                }
                (None, None) => page.prose.push((number, line.to_owned())),
            }
        }
        assert!(open.is_none(), "{}: a fence is not closed", page.path.display());
        page
    }

    /// Returns the file name without extension.
    pub(crate) fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns the position of a line, for messages.
    pub(crate) fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    /// Returns the lines of all fences in one language.
    pub(crate) fn fenced(&self, language: &str) -> impl Iterator<Item = &(usize, String)> {
        self.fences.iter().filter(move |fence| fence.language == language).flat_map(|fence| &fence.lines)
    }

    /// Returns code between single backticks in prose.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.prose.iter().flat_map(|(number, line)| line.split('`').skip(1).step_by(2).map(move |code| (*number, code)))
    }

    /// Returns code between single backticks in prose, and whether `(device)` after it marks it as for switches only.
    pub(crate) fn marked_code(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        self.prose.iter().flat_map(|(number, line)| {
            let parts: Vec<&str> = line.split('`').collect();
            let codes: Vec<_> =
                parts.windows(2).skip(1).step_by(2).map(|it| (it[0], it[1].starts_with(DEVICE))).collect();
            codes.into_iter().map(move |(code, marked)| (*number, code, marked))
        })
    }

    /// Returns the second-level headings, in order.
    pub(crate) fn sections(&self) -> Vec<&str> {
        self.prose.iter().filter_map(|(_, line)| line.strip_prefix("## ")).collect()
    }
}

/// Fails with all errors, if there are any.
pub(crate) fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
