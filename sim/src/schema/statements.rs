//! Parses YANG text into statements, for what the compiled schema lacks: order of definition, extensions, and names of
//! enumerations.

use std::collections::HashMap;

/// A statement with its substatements.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) keyword: String,
    pub(super) argument: String,
    pub(super) inner: Vec<Statement>,
}

impl Statement {
    /// Returns the first substatement with this keyword.
    pub(super) fn find(&self, keyword: &str) -> Option<&Self> {
        self.inner.iter().find(|inner| inner.keyword == keyword)
    }

    /// Returns the substatements with this keyword.
    pub(super) fn all<'a>(&'a self, keyword: &'a str) -> impl Iterator<Item = &'a Self> {
        self.inner.iter().filter(move |inner| inner.keyword == keyword)
    }

    /// Returns the argument of an extension, regardless of the prefix of its module.
    pub(super) fn extension(&self, name: &str) -> Option<&str> {
        self.inner
            .iter()
            .find(|it| it.keyword.split_once(':').is_some_and(|(_, it)| it == name))
            .map(|it| &*it.argument)
    }
}

/// The modules of a schema, by name.
#[derive(Debug, Default)]
pub(super) struct Modules {
    modules: HashMap<String, Module>,
}

#[derive(Debug)]
struct Module {
    root: Statement,
    /// Modules by prefix, including its own.
    prefixes: HashMap<String, String>,
}

/// A statement and the module whose prefixes apply in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scoped<'a> {
    pub(super) module: &'a str,
    pub(super) it: &'a Statement,
}

impl Modules {
    /// Adds the text of a module. Text that cannot be parsed is ignored, because it only adds details.
    pub(super) fn add(&mut self, name: &str, text: &str) {
        let Some(root) = (Reader { rest: text }).statement() else { return };
        let mut prefixes = HashMap::new();
        if let Some(prefix) = root.find("prefix") {
            prefixes.insert(prefix.argument.clone(), name.to_owned());
        }
        for import in root.all("import") {
            if let Some(prefix) = import.find("prefix") {
                prefixes.insert(prefix.argument.clone(), import.argument.clone());
            }
        }
        self.modules.insert(name.to_owned(), Module { root, prefixes });
    }

    /// Returns the statement of a module itself.
    pub(super) fn root(&self, module: &str) -> Option<Scoped<'_>> {
        let (module, it) = self.modules.get_key_value(module)?;
        Some(Scoped { module, it: &it.root })
    }

    /// Returns identities with their defining modules.
    pub(super) fn identities(&self) -> impl Iterator<Item = (&str, &str)> {
        self.modules
            .iter()
            .flat_map(|(name, module)| module.root.all("identity").map(move |it| (it.argument.as_str(), name.as_str())))
    }

    /// Returns the data definitions inside a statement, in the order of their definition. Those of groupings, choices
    /// and cases are included, and those of augments by other modules come last.
    pub(super) fn definitions<'a>(&'a self, parent: Scoped<'a>, path: &str) -> Vec<Scoped<'a>> {
        let mut found = Vec::new();
        self.collect(parent, &mut found);
        for (module, augment) in self.augments_of(path) {
            self.collect(Scoped { module, it: augment }, &mut found);
        }
        found
    }

    fn collect<'a>(&'a self, parent: Scoped<'a>, found: &mut Vec<Scoped<'a>>) {
        for it in &parent.it.inner {
            let scoped = Scoped { module: parent.module, it };
            match it.keyword.as_str() {
                "container" | "list" | "leaf" | "leaf-list" => found.push(scoped),
                "choice" | "case" => self.collect(scoped, found),
                "uses" => {
                    if let Some(grouping) = self.lookup(parent.module, "grouping", &it.argument) {
                        self.collect(grouping, found);
                    }
                }
                _ => {}
            }
        }
    }

    fn augments_of<'a>(&'a self, path: &str) -> impl Iterator<Item = (&'a str, &'a Statement)> {
        self.modules.iter().flat_map(move |(name, module)| {
            let here = module.root.all("augment").filter(|it| unprefixed(&it.argument) == path).collect::<Vec<_>>();
            here.into_iter().map(move |it| (name.as_str(), it))
        })
    }

    /// Returns the grouping or typedef with this name, which may have a prefix.
    pub(super) fn lookup<'a>(&'a self, module: &str, keyword: &str, name: &str) -> Option<Scoped<'a>> {
        let here = self.modules.get(module)?;
        let (target, name) = match name.split_once(':') {
            Some((prefix, name)) => (here.prefixes.get(prefix)?.as_str(), name),
            None => (module, name),
        };
        let (target, module) = self.modules.get_key_value(target)?;
        find_deep(&module.root, keyword, name).map(|it| Scoped { module: target, it })
    }
}

fn find_deep<'a>(parent: &'a Statement, keyword: &str, name: &str) -> Option<&'a Statement> {
    parent
        .inner
        .iter()
        .find(|it| it.keyword == keyword && it.argument == name)
        .or_else(|| parent.inner.iter().find_map(|it| find_deep(it, keyword, name)))
}

fn unprefixed(path: &str) -> String {
    path.split('/').map(crate::path::bare).collect::<Vec<_>>().join("/")
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn statement(&mut self) -> Option<Statement> {
        let keyword = self.word()?;
        let argument = self.argument()?;
        let mut inner = Vec::new();
        self.blank();
        if self.take(";") {
            return Some(Statement { keyword, argument, inner });
        }
        if !self.take("{") {
            return None;
        }
        loop {
            self.blank();
            if self.take("}") {
                return Some(Statement { keyword, argument, inner });
            }
            inner.push(self.statement()?);
        }
    }

    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Skips white space and comments.
    fn blank(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            let end = if self.rest.starts_with("//") {
                self.rest.find('\n')
            } else if self.rest.starts_with("/*") {
                self.rest.find("*/").map(|at| at + 2)
            } else {
                return;
            };
            self.rest = &self.rest[end.unwrap_or(self.rest.len())..];
        }
    }

    fn word(&mut self) -> Option<String> {
        self.blank();
        let end = self.rest.find(|c: char| c.is_whitespace() || matches!(c, ';' | '{' | '}'))?;
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then(|| word.to_owned())
    }

    fn argument(&mut self) -> Option<String> {
        self.blank();
        if self.rest.starts_with([';', '{']) {
            return Some(String::new());
        }
        if !self.rest.starts_with(['"', '\'']) {
            return self.word();
        }
        let mut text = String::new();
        loop {
            text += &self.quoted()?;
            self.blank();
            if !self.take("+") {
                return Some(text);
            }
            self.blank();
        }
    }

    fn quoted(&mut self) -> Option<String> {
        let quote = self.rest.chars().next()?;
        let mut text = String::new();
        let mut chars = self.rest[1..].chars();
        loop {
            match chars.next()? {
                c if c == quote => break,
                '\\' if quote == '"' => match chars.next()? {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    c @ ('"' | '\\') => text.push(c),
                    c => text.extend(['\\', c]),
                },
                c => text.push(c),
            }
        }
        self.rest = chars.as_str();
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_parsed_with_comments_quotes_and_joined_strings() {
        let text = "module m { // a comment\n prefix 'p'; description \"a \\\"b\\\" \" + 'c'; /* x */ leaf l { p:ext high; } }";
        let mut modules = Modules::default();
        modules.add("m", text);
        let root = modules.root("m").expect("the module").it;
        assert_eq!(root.find("description").map(|it| it.argument.as_str()), Some("a \"b\" c"));
        assert_eq!(root.find("leaf").and_then(|it| it.extension("ext")), Some("high"));
    }

    #[test]
    fn definitions_keep_the_order_of_the_text_through_groupings_and_augments() {
        let mut modules = Modules::default();
        modules.add("m", "module m { prefix p; grouping g { leaf b { type string; } } container c { leaf a { type string; } uses g; choice x { leaf d { type string; } } } }");
        modules.add("n", "module n { prefix n; import m { prefix m; } augment \"/m:c\" { leaf e { type string; } } }");
        let root = modules.root("m").expect("the module");
        let names = |found: Vec<Scoped<'_>>| found.iter().map(|it| it.it.argument.clone()).collect::<Vec<_>>();
        let container = modules.definitions(root, "")[0];
        assert_eq!(names(modules.definitions(container, "/c")), ["a", "b", "d", "e"]);
    }

    #[test]
    fn invalid_yang_is_left_out() {
        let mut modules = Modules::default();
        modules.add("m", "module m { leaf ");
        assert!(modules.root("m").is_none());
    }
}
