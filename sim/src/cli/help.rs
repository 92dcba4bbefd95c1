//! The key `?`: lists possible completions with their meanings.

use super::Session;

/// Meanings of the CLI's own words.
const MEANINGS: &[(&str, &str)] = &[
    ("all", "All of them"),
    ("application", "Show applications and their processes"),
    ("arp-entries", "Show ARP entries"),
    ("arpnd", "Show ARP and neighbor discovery"),
    ("as", "Print as table, JSON, YAML or text"),
    ("advertised-routes", "Show routes advertised to the neighbor"),
    ("back", "Return to the previous context"),
    ("bgp", "Show BGP"),
    ("bridge-table", "Show bridge tables"),
    ("brief", "One line each"),
    ("candidate", "Edit configuration"),
    ("commit", "Commit the candidate"),
    ("confirmed", "Commit now; roll back unless confirmed"),
    ("confirmed-accept", "Confirm the pending commit"),
    ("confirmed-reject", "Roll back the pending commit"),
    ("configuration", "Operate on commits"),
    ("count", "Count lines"),
    ("date", "Print date and time"),
    ("delete", "Delete configuration"),
    ("detail", "Show all leaves"),
    ("diff", "Show the candidate's changes"),
    ("discard", "Discard the candidate's changes"),
    ("enter", "Switch to another mode"),
    ("exit", "Go one level up"),
    ("filter", "Print only some fields"),
    ("grep", "Print lines that match a pattern"),
    ("head", "Print the first lines"),
    ("help", "Print all commands of this mode"),
    ("history", "Print the lines of this session"),
    ("info", "Print configuration or state"),
    ("interface", "Show interfaces and their subinterfaces"),
    ("interfaces", "Show the interfaces of the network instance"),
    ("lldp", "Show LLDP neighbors"),
    ("mac-table", "Show the MAC table"),
    ("more", "Print page by page"),
    ("neighbor", "Show neighbors"),
    ("neighbors", "Show ND entries"),
    ("network-instance", "Show network instances: routes, protocols, interfaces"),
    ("no-more", "Print without pages"),
    ("now", "Commit and leave candidate mode"),
    ("ping", "Check whether an address answers"),
    ("prefix", "Only this prefix"),
    ("protocols", "Show routing protocols"),
    ("pwc", "Print the context"),
    ("quit", "End the session"),
    ("received-routes", "Show routes received from the neighbor"),
    ("route-table", "Show routes"),
    ("routes", "Show all paths that BGP knows"),
    ("running", "Running configuration"),
    ("save", "Save the running configuration as startup"),
    ("set", "Set a leaf"),
    ("show", "Print a report"),
    ("startup", "Startup configuration"),
    ("state", "State"),
    ("stay", "Commit and stay in candidate mode"),
    ("summary", "One line each"),
    ("system", "Show the switch itself: applications, LLDP"),
    ("tail", "Print the last lines"),
    ("timeout", "Timeout in seconds"),
    ("tools", "Operate the switch"),
    ("tree", "Print the names below a context"),
    ("validate", "Validate the candidate"),
    ("version", "Show the release"),
];

/// Returns the meaning of one of the CLI's own words.
pub(super) fn meaning(word: &str) -> Option<&'static str> {
    MEANINGS.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning)
}

impl Session {
    /// Returns what may follow a line that ends in `?`, or `None` if the line does not end in a `?` outside quotes.
    pub(super) async fn help(&self, line: &str) -> Option<String> {
        let head = line.trim_end().strip_suffix('?')?;
        if head.matches('"').count() % 2 == 1 {
            return None;
        }
        let found = self.complete(head, head.len()).await.suggestions;
        let width = found.iter().map(|it| it.value.chars().count()).max().unwrap_or(0);
        let row =
            |value: &str, description: &str| format!("  {value:<width$}  {description}").trim_end().to_owned() + "\n";
        let rows = found.iter().map(|it| row(&it.value, it.description.as_deref().unwrap_or_default()));
        Some(if found.is_empty() {
            "  Nothing more to complete; Enter runs the line\n".to_owned()
        } else {
            rows.collect()
        })
    }
}
