//! Checks that links lead somewhere.

use std::path::{Component, Path, PathBuf};

use crate::pages::{self, Page, none, root};

/// Returns the targets of the links in a line: `[text](target)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// Returns the anchor of a heading: lower case, hyphens for blanks, and only letters, digits, `-` and `_`.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(page: &Page) -> Vec<String> {
    let headings = page.prose.iter().filter(|(_, line)| line.starts_with('#'));
    headings.map(|(_, line)| anchor(line.trim_start_matches('#').trim())).collect()
}

/// Returns the path of a relative link, without `..`.
fn resolve(page: &Path, target: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for component in page.parent().unwrap_or(Path::new("")).join(target).components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            other => path.push(other),
        }
    }
    path
}

fn problem(page: &Page, target: &str) -> Option<String> {
    let (file, wanted) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = if file.is_empty() { page.path.clone() } else { resolve(&page.path, file) };
    if !root().join(&path).exists() {
        return Some(format!("{} does not exist", path.display()));
    }
    let wanted = wanted?;
    let there = anchors(&Page::read(&root().join(&path)));
    (!there.iter().any(|anchor| anchor == wanted)).then(|| format!("{} has no heading '{wanted}'", path.display()))
}

#[test]
fn every_relative_link_leads_to_an_existing_file_and_heading() {
    let mut wrong = Vec::new();
    for page in pages::all() {
        for (number, line) in &page.prose {
            for target in targets(line).filter(|target| !target.contains("://")) {
                wrong.extend(problem(&page, target).map(|problem| format!("{}: {problem}", page.at(*number))));
            }
        }
    }
    none(&wrong);
}

/// Folders of the repository whose files are named on pages.
const FOLDERS: [&str; 9] = ["agent", "appmgr", "benches", "docs", "lab", "packaging", "sim", "tests", "yang"];

/// Returns whether code is the path of a file or folder in the repository, such as `agent/run.rs`.
fn is_path(code: &str) -> bool {
    let plain = code.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    plain && code.split_once('/').is_some_and(|(first, _)| FOLDERS.contains(&first))
}

#[test]
fn every_file_named_in_the_docs_exists() {
    let mut wrong = Vec::new();
    for page in pages::all() {
        let named = page.code().filter(|(_, code)| is_path(code));
        let gone = named.filter(|(_, path)| !root().join(path).exists());
        wrong.extend(gone.map(|(number, path)| format!("{}: {path} does not exist", page.at(number))));
    }
    none(&wrong);
}

#[test]
fn every_docs_page_is_linked_from_the_index() {
    let index = Page::read(&root().join("docs/README.md"));
    let linked: Vec<PathBuf> =
        index.prose.iter().flat_map(|(_, line)| targets(line)).map(|target| resolve(&index.path, target)).collect();
    let pages = pages::all().into_iter().map(|page| page.path).filter(|path| path.starts_with("docs"));
    let lost = pages.filter(|path| *path != index.path && !linked.contains(path));
    none(&lost.map(|path| format!("{} is not in docs/README.md", path.display())).collect::<Vec<_>>());
}
