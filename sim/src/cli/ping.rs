//! The command `ping`: says whether an address answers, judged by what this switch has resolved.
//!
//! No packet is sent. An address answers if it is this switch's own, or if it is in ARP or ND and its MAC address is
//! still behind a port or tunnel. Addresses beyond the subnets of this switch are not known here.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Session;
use super::error::CliError;
use super::lex::Token;
use super::report::View;

/// Number of requests that are shown, unless the line says otherwise.
const COUNT: usize = 4;

/// A parsed `ping` command.
#[derive(Debug, PartialEq, Eq)]
struct Ping {
    address: IpAddr,
    instance: String,
    count: usize,
}

/// Result of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    Unanswered,
    /// The address is in no subnet of this switch.
    Beyond,
}

impl Session {
    /// `ping ADDRESS [network-instance NAME] [-c COUNT]`
    pub(super) fn ping(&self, words: &[Token]) -> Result<String, CliError> {
        let ping = read(words)?;
        // Fails if the instance does not exist; the error lists the existing ones.
        self.each_instance(&ping.instance, "", |_| ())?;
        match self.fate(&ping)? {
            Fate::Beyond => Err(CliError::Refused(format!(
                "ping beyond the subnets of this leaf is not emulated: look at show network-instance {} route-table",
                ping.instance
            ))),
            fate => Ok(print(&ping, fate == Fate::Answered)),
        }
    }

    fn fate(&self, ping: &Ping) -> Result<Fate, CliError> {
        let schema = self.store.schema();
        let instance = self.state(&format!("/ network-instance \"{}\" interface *", ping.instance))?;
        let members = View::root(schema, &instance).all("network-instance/interface");
        let interfaces = self.state("/ interface * subinterface *")?;
        let mut fate = Fate::Beyond;
        for subinterface in View::root(schema, &interfaces).all("interface/subinterface") {
            if !members.iter().any(|it| it.leaf("name") == subinterface.leaf("name")) {
                continue;
            }
            let is_it = |text: &str| text.parse::<IpAddr>().is_ok_and(|it| it == ping.address);
            for (addresses, entries, key) in [
                ("ipv4/address", "ipv4/arp/neighbor", "ipv4-address"),
                ("ipv6/address", "ipv6/neighbor-discovery/neighbor", "ipv6-address"),
            ] {
                let prefixes = subinterface.all(addresses);
                let prefixes = prefixes.iter().filter_map(|it| it.leaf("ip-prefix").parse::<IpNet>().ok());
                for prefix in prefixes.filter(|prefix| prefix.contains(&ping.address)) {
                    if prefix.addr() == ping.address {
                        return Ok(Fate::Answered);
                    }
                    fate = Fate::Unanswered;
                }
                let entries = subinterface.all(entries);
                if let Some(entry) = entries.iter().find(|entry| is_it(entry.leaf(key))) {
                    let bridged = subinterface.leaf("name").starts_with("irb");
                    let answers = !bridged || self.is_switched(entry.leaf("link-layer-address"))?;
                    return Ok(if answers { Fate::Answered } else { Fate::Unanswered });
                }
            }
        }
        Ok(fate)
    }

    /// Returns whether a MAC address is behind a port or tunnel.
    fn is_switched(&self, mac: &str) -> Result<bool, CliError> {
        let body = self.state("/ network-instance * bridge-table mac-table")?;
        let macs = View::root(self.store.schema(), &body).all("network-instance/bridge-table/mac-table/mac");
        Ok(macs.iter().any(|it| it.leaf("address").eq_ignore_ascii_case(mac)))
    }
}

fn read(words: &[Token]) -> Result<Ping, CliError> {
    let (mut address, mut instance, mut count) = (None, "default".to_owned(), COUNT);
    let mut rest = words.iter().map(Token::text);
    while let Some(word) = rest.next() {
        match word {
            "network-instance" => {
                instance = rest.next().ok_or_else(|| CliError::incomplete(["<network-instance>"]))?.to_owned();
            }
            "-c" => {
                let value = rest.next().ok_or_else(|| CliError::incomplete(["<count>"]))?;
                count = value.parse().ok().filter(|count| (1..=100).contains(count)).ok_or_else(|| {
                    CliError::WrongValue {
                        leaf: "-c".to_owned(),
                        value: value.to_owned(),
                        expected: "1..100".to_owned(),
                    }
                })?;
            }
            word => match word.parse() {
                Ok(found) if address.is_none() => address = Some(found),
                _ => return Err(CliError::unknown(word, ["<address>", "network-instance", "-c"])),
            },
        }
    }
    let address = address.ok_or_else(|| CliError::incomplete(["<address>"]))?;
    Ok(Ping { address, instance, count })
}

fn print(ping: &Ping, answered: bool) -> String {
    let Ping { address, instance, count } = ping;
    let mut text = format!("Using network instance {instance}\nPING {address} ({address}) 56(84) bytes of data.\n");
    for sequence in 1..=*count {
        text.push_str(&if answered {
            format!("64 bytes from {address}: icmp_seq={sequence} ttl=64\n")
        } else {
            format!("From {address} icmp_seq={sequence} Destination Host Unreachable\n")
        });
    }
    let (received, loss) = if answered { (*count, 0) } else { (0, 100) };
    text.push_str(&format!(
        "--- {address} ping statistics ---\n{count} packets transmitted, {received} received, {loss}% packet loss\n"
    ));
    text
}
