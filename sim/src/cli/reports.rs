//! Reports on the switch itself: release, applications, interfaces, network instances and LLDP neighbors.

use super::Session;
use super::error::CliError;
use super::glob::glob;
use super::report::{Report, View};
use super::routes::Family;
use super::table::Column;

/// `show version`
pub(super) fn version(session: &Session, report: &mut Report) -> Result<(), CliError> {
    let body = session.state("/ system information")?;
    let information = View::root(session.store.schema(), &body).all("system/information");
    let leaf = |name| information.first().map_or("", |it| it.leaf(name)).to_owned();
    let version = Some(leaf("version")).filter(|it| !it.is_empty()).unwrap_or_else(|| session.options.release.clone());
    let (release, build) = version.split_once('-').unwrap_or((&version, "0"));
    let lines = [
        ("Hostname", session.options.hostname.clone()),
        ("Chassis Type", "7220 IXR-D2L".to_owned()),
        ("Part Number", "Sim Part No.".to_owned()),
        ("Serial Number", "Sim Serial No.".to_owned()),
        ("OS", "SR Linux".to_owned()),
        ("Software Version", format!("v{}", release.trim_start_matches('v'))),
        ("Build Number", build.to_owned()),
        ("Architecture", std::env::consts::ARCH.to_owned()),
        ("Last Booted", leaf("last-booted")),
    ];
    let rule = "-".repeat(50);
    report.text = format!("{rule}\n");
    for (name, value) in &lines {
        report.text.push_str(format!("{name:<21}: {value}").trim_end());
        report.text.push('\n');
    }
    report.text.push_str(&format!("{rule}\n"));
    let columns = lines.iter().map(|(name, _)| Column::fitted(name)).collect();
    report.tables.push(("basic system info".to_owned(), columns, vec![lines.map(|(_, value)| value).to_vec()]));
    Ok(())
}

/// `show system application`
pub(super) fn applications(session: &Session, report: &mut Report, name: &str) -> Result<(), CliError> {
    let body = session.state("/ system app-management application *")?;
    let applications = View::root(session.store.schema(), &body).all("system/app-management/application");
    let applications = applications.iter().filter(|application| glob(name, application.leaf("name")));
    let rows = rows(applications, ["name", "pid", "state", "version", "last-change"]);
    indented(report, "Application", &["Name", "PID", "State", "Version", "Last Change"], rows);
    Ok(())
}

/// `show system lldp neighbor`
pub(super) fn lldp(session: &Session, report: &mut Report, name: &str) -> Result<(), CliError> {
    let body = session.state("/ system lldp interface *")?;
    let interfaces = View::root(session.store.schema(), &body).all("system/lldp/interface");
    let mut heard = Vec::new();
    for interface in interfaces.iter().filter(|interface| glob(name, interface.leaf("name"))) {
        for neighbor in interface.list("neighbor") {
            let leaves = ["chassis-id", "system-name", "chassis-id", "port-id"].map(|leaf| neighbor.leaf(leaf));
            heard.push([interface.leaf("name")].into_iter().chain(leaves).map(str::to_owned).collect());
        }
    }
    let headers = ["Name", "Neighbor", "Neighbor System Name", "Neighbor Chassis ID", "Neighbor Port"];
    indented(report, "lldp neighbor", &headers, heard);
    Ok(())
}

/// `show interface`: interfaces that are up, or all if `all`.
pub(super) fn interfaces(session: &Session, report: &mut Report, name: &str, all: bool) -> Result<(), CliError> {
    let body = found(session, name)?;
    let instances = instances_of_subinterfaces(session)?;
    let rule = format!("{}\n", "=".repeat(112));
    report.text.push_str(&rule);
    let mut shown = Vec::new();
    for interface in View::root(session.store.schema(), &body).list("interface") {
        if !all && interface.leaf("oper-state") != "up" {
            continue;
        }
        describe(&mut report.text, interface, &instances);
        shown.push(brief(interface));
        report.text.push_str(&format!("{}\n", "-".repeat(112)));
    }
    report.text.push_str(&rule);
    let up = shown.iter().filter(|row| row[2] == "up").count();
    report.text.push_str(&format!("Summary\n  {up} of {} interfaces are up\n{rule}", shown.len()));
    report.tables.push(("interface".to_owned(), brief_columns(), shown));
    Ok(())
}

/// `show interface brief`
pub(super) fn interfaces_in_brief(session: &Session, report: &mut Report, name: &str) -> Result<(), CliError> {
    let body = found(session, name)?;
    let rows = View::root(session.store.schema(), &body).list("interface").into_iter().map(brief).collect();
    report.table("interface", brief_columns(), rows);
    Ok(())
}

fn found(session: &Session, name: &str) -> Result<super::tree::Body, CliError> {
    let body = session.state(&format!("/ interface \"{name}\""))?;
    if body.is_empty() && !name.contains('*') {
        let all = session.state("/ interface *")?;
        let names = View::root(session.store.schema(), &all).list("interface");
        return Err(CliError::unknown(name, names.iter().map(|it| it.leaf("name")).chain(["all", "brief"])));
    }
    Ok(body)
}

fn brief(interface: View<'_>) -> Vec<String> {
    ["name", "admin-state", "oper-state", "oper-down-reason", "description"]
        .map(|leaf| interface.leaf(leaf).to_owned())
        .to_vec()
}

fn brief_columns() -> Vec<Column> {
    ["Port", "Admin State", "Oper State", "Down Reason", "Description"].map(Column::fitted).to_vec()
}

/// Returns the name of each subinterface with the name of its network instance.
fn instances_of_subinterfaces(session: &Session) -> Result<Vec<(String, String)>, CliError> {
    let body = session.state("/ network-instance * interface *")?;
    let instances = View::root(session.store.schema(), &body).list("network-instance");
    let pairs = instances.iter().flat_map(|instance| {
        let name = instance.leaf("name").to_owned();
        instance.list("interface").into_iter().map(move |it| (it.leaf("name").to_owned(), name.clone()))
    });
    Ok(pairs.collect())
}

fn describe(text: &mut String, interface: View<'_>, instances: &[(String, String)]) {
    let state = |view: View<'_>| match view.leaf("oper-down-reason") {
        "" => view.leaf("oper-state").to_owned(),
        reason => format!("{}, reason {reason}", view.leaf("oper-state")),
    };
    text.push_str(&format!("{} is {}\n", interface.leaf("name"), state(interface)));
    for subinterface in interface.list("subinterface") {
        let name = subinterface.leaf("name");
        text.push_str(&format!("  {name} is {}\n", state(subinterface)));
        let instance = instances.iter().find(|(of, _)| of == name).map_or("", |(_, instance)| instance);
        for (what, value) in [("Network-instance", instance), ("Type", subinterface.leaf("type"))] {
            text.push_str(format!("    {what:<16}: {value}").trim_end());
            text.push('\n');
        }
        for (family, label) in [("ipv4", "IPv4 addr"), ("ipv6", "IPv6 addr")] {
            for address in subinterface.all(&format!("{family}/address")) {
                let anycast = if address.leaf("anycast-gw") == "true" { ", anycast" } else { "" };
                let (prefix, origin) = (address.leaf("ip-prefix"), address.leaf("origin"));
                text.push_str(&format!("    {label:<16}: {prefix} ({origin}{anycast})\n"));
            }
        }
    }
}

/// `show arpnd arp-entries`, and `neighbors` for IPv6.
pub(super) fn neighbors(
    session: &Session,
    report: &mut Report,
    family: Family,
    interface: &str,
    index: &str,
) -> Result<(), CliError> {
    let body = session.state("/ interface * subinterface *")?;
    let (path, address) = match family {
        Family::V4 => ("ipv4/arp/neighbor", "ipv4-address"),
        Family::V6 => ("ipv6/neighbor-discovery/neighbor", "ipv6-address"),
    };
    let mut entries = Vec::new();
    for of in View::root(session.store.schema(), &body).list("interface") {
        for subinterface in of.list("subinterface") {
            if !glob(interface, of.leaf("name")) || !glob(index, subinterface.leaf("index")) {
                continue;
            }
            entries.extend(subinterface.all(path).iter().map(|it| {
                let leaves = [address, "origin", "link-layer-address"].map(|leaf| it.leaf(leaf));
                [of.leaf("name"), subinterface.leaf("index")].into_iter().chain(leaves).map(str::to_owned).collect()
            }));
        }
    }
    let of_origin = |origin: &str| entries.iter().filter(|row: &&Vec<String>| row[3] == origin).count();
    let (total, fixed, dynamic) = (entries.len(), of_origin("static"), of_origin("dynamic"));
    let columns = ["Interface", "Subinterface", "Neighbor", "Origin", "Link layer address"].map(Column::fitted);
    report.table("neighbor", columns.to_vec(), entries);
    let rule = "-".repeat(112);
    report.text.push_str(&format!("{rule}\n  Total entries : {total} ({fixed} static, {dynamic} dynamic)\n{rule}\n"));
    Ok(())
}

/// `show network-instance summary`
pub(super) fn instances(session: &Session, report: &mut Report, name: &str) -> Result<(), CliError> {
    let mut all = Vec::new();
    session.each_instance(name, "", |instance| {
        all.push(
            ["name", "type", "admin-state", "oper-state", "router-id"]
                .map(|leaf| instance.leaf(leaf).to_owned())
                .to_vec(),
        );
    })?;
    let columns = ["Name", "Type", "Admin state", "Oper state", "Router id"].map(Column::fitted).to_vec();
    report.table("network-instance", columns, all);
    Ok(())
}

/// `show network-instance X interfaces`
pub(super) fn instance_interfaces(session: &Session, report: &mut Report, name: &str) -> Result<(), CliError> {
    let mut all = Vec::new();
    session.each_instance(name, "interface *", |instance| {
        for interface in instance.list("interface") {
            let leaves = ["name", "oper-state", "oper-down-reason"].map(|leaf| interface.leaf(leaf));
            all.push([instance.leaf("name")].into_iter().chain(leaves).map(str::to_owned).collect());
        }
    })?;
    let columns = ["Net instance", "Interface", "Oper state", "Down reason"].map(Column::fitted).to_vec();
    report.table("interface", columns, all);
    Ok(())
}

/// `show network-instance X bridge-table mac-table all`
pub(super) fn macs(session: &Session, report: &mut Report, name: &str) -> Result<(), CliError> {
    let mut all = Vec::new();
    let mut title = String::new();
    session.each_instance(name, "bridge-table mac-table", |instance| {
        title.push_str(&format!("Mac-table of network instance {}\n", instance.leaf("name")));
        let macs = instance.all("bridge-table/mac-table/mac");
        all.extend(rows(macs.iter(), ["address", "destination", "type", "last-update"]));
    })?;
    report.text.push_str(&title);
    report.table("mac", ["Address", "Destination", "Type", "Last Update"].map(Column::fitted).to_vec(), all);
    Ok(())
}

fn rows<'v, 'a: 'v, const N: usize>(views: impl Iterator<Item = &'v View<'a>>, leaves: [&str; N]) -> Vec<Vec<String>> {
    views.map(|it| leaves.map(|leaf| it.leaf(leaf).to_owned()).to_vec()).collect()
}

/// Adds a table indented by two blanks, as in reports of the system; adds nothing if there are no rows.
fn indented(report: &mut Report, name: &str, headers: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    report.table(name, headers.iter().map(|header| Column::fitted(header)).collect(), rows);
    report.text = report.text.lines().map(|line| format!("  {line}\n")).collect();
}
