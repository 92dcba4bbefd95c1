//! The command `show`: reports on state.

use super::error::CliError;
use super::lex::Token;
use super::pipe::Pipes;
use super::report::Report;
use super::routes::{self, Family};
use super::{Session, bgp, own, plugin, reports};

/// Fills a report. The arguments are the words that matched the `<...>` of the command.
type Run = fn(&Session, &mut Report, &[&str]) -> Result<(), CliError>;

/// The commands of `show` with their reports. Each command is a row of words; `<...>` stands for a name from the data.
const COMMANDS: &[(&[&str], Run)] = &[
    (&["version"], |it, report, _| reports::version(it, report)),
    (&["system", "application"], |it, report, _| reports::applications(it, report, "*")),
    (&["system", "application", "<application>"], |it, report, names| reports::applications(it, report, names[0])),
    (&["system", "lldp", "neighbor"], |it, report, _| reports::lldp(it, report, "*")),
    (&["system", "lldp", "neighbor", "interface", "<interface>"], |it, report, names| {
        reports::lldp(it, report, names[0])
    }),
    (&["interface"], |it, report, _| reports::interfaces(it, report, "*", false)),
    (&["interface", "all"], |it, report, _| reports::interfaces(it, report, "*", true)),
    (&["interface", "brief"], |it, report, _| reports::interfaces_in_brief(it, report, "*")),
    (&["interface", "<interface>"], |it, report, names| reports::interfaces(it, report, names[0], true)),
    (&["interface", "<interface>", "brief"], |it, report, names| reports::interfaces_in_brief(it, report, names[0])),
    (&["arpnd", "arp-entries"], |it, report, _| reports::neighbors(it, report, Family::V4, "*", "*")),
    (&["arpnd", "arp-entries", "interface", "<interface>"], |it, report, names| {
        reports::neighbors(it, report, Family::V4, names[0], "*")
    }),
    (&["arpnd", "arp-entries", "interface", "<interface>", "subinterface", "<subinterface>"], |it, report, names| {
        reports::neighbors(it, report, Family::V4, names[0], names[1])
    }),
    (&["arpnd", "neighbors"], |it, report, _| reports::neighbors(it, report, Family::V6, "*", "*")),
    (&["arpnd", "neighbors", "interface", "<interface>"], |it, report, names| {
        reports::neighbors(it, report, Family::V6, names[0], "*")
    }),
    (&["network-instance", "summary"], |it, report, _| reports::instances(it, report, "*")),
    (&["network-instance", "<network-instance>", "summary"], |it, report, names| {
        reports::instances(it, report, names[0])
    }),
    (&["network-instance", "<network-instance>", "interfaces"], |it, report, names| {
        reports::instance_interfaces(it, report, names[0])
    }),
    (&["network-instance", "<network-instance>", "bridge-table", "mac-table", "all"], |it, report, names| {
        reports::macs(it, report, names[0])
    }),
    (&["network-instance", "<network-instance>", "route-table"], |it, report, names| all_routes(it, report, names)),
    (&["network-instance", "<network-instance>", "route-table", "all"], |it, report, names| {
        all_routes(it, report, names)
    }),
    (&["network-instance", "<network-instance>", "route-table", "<family>"], |it, report, names| {
        let family = family(names[1])?;
        it.each_instance(names[0], "route-table", |view| routes::table(report, view, family, None))
    }),
    (&["network-instance", "<network-instance>", "route-table", "<family>", "summary"], |it, report, names| {
        let family = family(names[1])?;
        it.each_instance(names[0], "route-table", |view| routes::table(report, view, family, None))
    }),
    (
        &["network-instance", "<network-instance>", "route-table", "<family>", "prefix", "<prefix>"],
        |it, report, names| {
            let family = family(names[1])?;
            it.each_instance(names[0], "route-table", |view| routes::table(report, view, family, Some(names[2])))
        },
    ),
    (
        &["network-instance", "<network-instance>", "route-table", "<family>", "prefix", "<prefix>", "detail"],
        |it, report, names| {
            let family = family(names[1])?;
            it.each_instance(names[0], "route-table", |view| routes::detail(report, view, family, names[2]))
        },
    ),
    (&["network-instance", "<network-instance>", "protocols", "bgp", "summary"], |it, report, names| {
        it.each_instance(names[0], "protocols bgp", |view| bgp::summary(report, view))
    }),
    (&["network-instance", "<network-instance>", "protocols", "bgp", "neighbor"], |it, report, names| {
        it.each_instance(names[0], "protocols bgp", |view| bgp::neighbors(report, view, "*"))
    }),
    (&["network-instance", "<network-instance>", "protocols", "bgp", "neighbor", "<neighbor>"], |it, report, names| {
        it.each_instance(names[0], "protocols bgp", |view| bgp::neighbors(report, view, names[1]))
    }),
    (
        &["network-instance", "<network-instance>", "protocols", "bgp", "neighbor", "<neighbor>", "detail"],
        |it, report, names| it.each_instance(names[0], "protocols bgp", |view| bgp::detail(report, view, names[1])),
    ),
    (
        &[
            "network-instance",
            "<network-instance>",
            "protocols",
            "bgp",
            "neighbor",
            "<neighbor>",
            "received-routes",
            "<bgp-family>",
        ],
        |it, report, names| {
            let family = bgp_family(names[2])?;
            it.each_instance(names[0], "", |view| bgp::received(report, view, names[1], family))
        },
    ),
    (
        &[
            "network-instance",
            "<network-instance>",
            "protocols",
            "bgp",
            "neighbor",
            "<neighbor>",
            "advertised-routes",
            "<bgp-family>",
        ],
        |it, report, names| {
            let family = bgp_family(names[2])?;
            it.each_instance(names[0], "", |view| bgp::advertised(report, view, names[1], family))
        },
    ),
    (
        &["network-instance", "<network-instance>", "protocols", "bgp", "routes", "<bgp-family>", "summary"],
        |it, report, names| {
            let family = bgp_family(names[1])?;
            it.each_instance(names[0], "bgp-rib", |view| bgp::rib(report, view, family))
        },
    ),
];

/// Returns the commands as rows of words, for completion.
pub(super) fn rows() -> Vec<&'static [&'static str]> {
    COMMANDS.iter().map(|(words, _)| *words).collect()
}

/// Possible words for an address family, as the route table names it.
pub(super) const FAMILIES: [&str; 2] = ["ipv4-unicast", "ipv6-unicast"];
/// Possible words for an address family, as BGP reports name it.
pub(super) const BGP_FAMILIES: [&str; 2] = ["ipv4", "ipv6"];

fn family(word: &str) -> Result<Family, CliError> {
    Family::read(word).ok_or_else(|| CliError::unknown(word, FAMILIES.into_iter().chain(["all"])))
}

fn bgp_family(word: &str) -> Result<Family, CliError> {
    if word == "evpn" {
        let instead = "routes by EVPN stand in the route table, with owner bgp_evpn_mgr";
        return Err(CliError::Refused(format!("BGP routes of family evpn are not emulated: {instead}")));
    }
    Family::read(&format!("{word}-unicast")).ok_or_else(|| CliError::unknown(word, BGP_FAMILIES))
}

fn all_routes(session: &Session, report: &mut Report, names: &[&str]) -> Result<(), CliError> {
    session.each_instance(names[0], "route-table", |view| {
        routes::table(report, view, Family::V4, None);
        if routes::has_routes(view, Family::V6) {
            routes::table(report, view, Family::V6, None);
        }
    })
}

impl Session {
    /// Runs a report of the switch or of a plugin.
    pub(super) async fn show(&self, words: &[Token], pipes: &Pipes) -> Result<String, CliError> {
        let words: Vec<&str> = words.iter().map(Token::text).collect();
        let found = COMMANDS.iter().find_map(|(row, run)| Some((captured(row, &words)?, run)));
        let Some((names, run)) = found else {
            if let Some(why) = own::not_emulated(&format!("show {}", words.join(" "))) {
                return Err(why);
            }
            let native = words.first().is_none_or(|first| COMMANDS.iter().any(|(row, _)| row[0] == *first));
            if native || self.options.plugins.is_empty() {
                return Err(wrong_words(&rows(), &words));
            }
            return Ok(self.show_of_plugin(&words).await?.print(pipes.format));
        };
        let mut report = Report::default();
        run(self, &mut report, &names)?;
        Ok(report.print(pipes.format))
    }

    async fn show_of_plugin(&self, words: &[&str]) -> Result<Report, CliError> {
        let unknown = |refused: &str| refused.contains(&format!("Unknown token '{}'", words[0]));
        match plugin::run(self, words).await {
            Err(CliError::Words(refused)) if unknown(&refused) => {
                let known = plugin::commands(self).await?.commands.into_iter().map(|it| it.name);
                let options: Vec<String> = rows().iter().map(|row| row[0].to_owned()).chain(known).collect();
                Err(CliError::unknown(words[0], unique(options)))
            }
            other => other,
        }
    }
}

/// Returns the words that match the `<...>` of a row, or `None` if the words do not match the row.
fn captured<'a>(row: &[&str], words: &[&'a str]) -> Option<Vec<&'a str>> {
    let fits =
        row.len() == words.len() && row.iter().zip(words).all(|(known, word)| known.starts_with('<') || known == word);
    let names = row.iter().zip(words).filter(|(known, _)| known.starts_with('<')).map(|(_, word)| *word);
    fits.then(|| names.collect())
}

/// Returns the error for the first word that matches none of the rows, with the words that would have matched.
pub(super) fn wrong_words(commands: &[&[&str]], words: &[&str]) -> CliError {
    let mut fitting: Vec<&[&str]> = commands.to_vec();
    for (position, word) in words.iter().enumerate() {
        let options: Vec<&str> =
            fitting.iter().filter_map(|row| row.get(position)).flat_map(spelled).copied().collect();
        fitting.retain(|row| row.get(position).is_some_and(|known| known.starts_with('<') || known == word));
        if fitting.is_empty() {
            return CliError::unknown(word, unique(options));
        }
    }
    let options = fitting.iter().filter_map(|row| row.get(words.len())).flat_map(spelled).copied().collect();
    CliError::incomplete(unique(options))
}

/// Returns what may be typed for a word of a row: the names of address families, or the word itself.
pub(super) fn spelled<'a>(word: &'a &'a str) -> &'a [&'a str] {
    match *word {
        "<family>" => &FAMILIES,
        "<bgp-family>" => &BGP_FAMILIES,
        _ => std::slice::from_ref(word),
    }
}

fn unique<T: Ord>(mut words: Vec<T>) -> Vec<T> {
    words.sort_unstable();
    words.dedup();
    words
}
