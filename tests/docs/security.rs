//! Checks what docs/security.md says that the agent never does against the agent's sources.

use std::fs;
use std::path::Path;

use crate::pages::{none, root};

/// Sentences of the page, and what code that breaks them would have to name.
const NEVER: &[(&str, &[&str])] = &[
    ("The agent listens on no socket.", &["TcpListener", "UnixListener", "::bind(", "listen("]),
    ("It runs no other program", &["process::Command", "Command::new", "execve", "posix_spawn"]),
    ("Subscribe and Get; never Set", &["SetRequest"]),
    (
        "no code adds or removes a route",
        &["RouteAddRequest", "RouteDeleteRequest", "NextHopGroupRequest", "NextHopGroupDeleteRequest"],
    ),
    ("written in Rust without `unsafe` code of its own", &["unsafe {", "unsafe fn", "allow(unsafe"]),
];

/// Calls `found` with each source file of the product and its text, without tests.
fn sources(folder: &Path, found: &mut dyn FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).expect("sources").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") && name != "tests.rs" {
            let text = fs::read_to_string(&path).expect("a source");
            found(&path, text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default());
        }
    }
}

#[test]
fn what_the_agent_never_does_is_not_in_its_sources() {
    let page = fs::read_to_string(root().join("docs/security.md")).expect("the page");
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut wrong = Vec::new();
    let mut files = 0;
    for (sentence, _) in NEVER {
        if !page.contains(sentence) {
            wrong.push(format!("docs/security.md does not say: {sentence}"));
        }
    }
    sources(&root().join("agent"), &mut |path, text| {
        files += 1;
        for (sentence, words) in NEVER {
            let used = words.iter().filter(|word| text.contains(**word));
            wrong.extend(used.map(|word| format!("{}: {word}, but the page says: {sentence}", path.display())));
        }
    });
    assert!(files > 100, "{files} files are no product");
    none(&wrong);
}
