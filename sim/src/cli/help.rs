//! The key `?`: lists what may come next, with meanings.

use super::Session;

/// Meanings of the CLI's own words.
const MEANINGS: &[(&str, &str)] = &[
    ("all", "All of them"),
    ("application", "Show applications and their processes"),
    ("arp-entries", "Show what ARP has resolved"),
    ("arpnd", "Show ARP and neighbor discovery"),
    ("as", "Print as table, JSON, YAML or text"),
    ("advertised-routes", "Show what is advertised to the neighbor"),
    ("back", "Return to the context before this one"),
    ("bgp", "Show BGP"),
    ("bridge-table", "Show what a mac-vrf has learned"),
    ("brief", "One line each"),
    ("candidate", "Edit configuration"),
    ("commit", "Take over what was edited"),
    ("confirmed", "At once, and taken back unless it is confirmed"),
    ("confirmed-accept", "Keep the commit that waits to be confirmed"),
    ("confirmed-reject", "Take back the commit that waits to be confirmed"),
    ("configuration", "Operate on commits"),
    ("count", "Count lines"),
    ("date", "Print date and time"),
    ("delete", "Take configuration away"),
    ("detail", "Every leaf"),
    ("diff", "Show what was edited"),
    ("discard", "Forget what was edited"),
    ("enter", "Go to another mode"),
    ("exit", "Go one level up"),
    ("filter", "Print some fields only"),
    ("grep", "Print lines that match a pattern"),
    ("head", "Print the first lines"),
    ("help", "Print all commands of this mode"),
    ("history", "Print the lines of this session"),
    ("info", "Print configuration or state"),
    ("interface", "Show interfaces and their subinterfaces"),
    ("interfaces", "Show the interfaces of the network instance"),
    ("lldp", "Show what is heard by LLDP"),
    ("mac-table", "Show MAC addresses and where they are"),
    ("more", "Print page by page"),
    ("neighbor", "Show neighbors"),
    ("neighbors", "Show what neighbor discovery has resolved"),
    ("network-instance", "Show network instances: routes, protocols, interfaces"),
    ("no-more", "Print without pages"),
    ("now", "At once, and leave candidate mode"),
    ("ping", "Ask whether an address answers"),
    ("prefix", "Only this prefix"),
    ("protocols", "Show routing protocols"),
    ("pwc", "Print the context"),
    ("quit", "End the session"),
    ("received-routes", "Show what the neighbor announces"),
    ("route-table", "Show routes"),
    ("routes", "Show all paths BGP knows"),
    ("running", "Look at the configuration in force"),
    ("save", "Keep the configuration for the next start"),
    ("set", "Give a leaf a value"),
    ("show", "Print a report"),
    ("startup", "The configuration of the next start"),
    ("state", "Look at state"),
    ("stay", "At once, and stay in candidate mode"),
    ("summary", "One line each"),
    ("system", "Show the switch itself: applications, LLDP"),
    ("tail", "Print the last lines"),
    ("timeout", "How many seconds"),
    ("tools", "Operate the switch"),
    ("tree", "Print the names below a context"),
    ("validate", "Check what was edited against the models"),
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
            "  Nothing more is known here; Enter runs the line\n".to_owned()
        } else {
            rows.collect()
        })
    }
}
