//! The command `srl-sim lever list`: lists all levers with their details. `[...]` is optional.

/// Each lever as typed, and what it breaks.
const LEVERS: &[(&str, &str)] = &[
    ("session-down node=NODE [leaf=LEAF]", "a BGP session"),
    ("bfd-down node=NODE", "BFD and the BGP session it protects; needs BFD (lab kubeadm-calico-metallb)"),
    ("link-down node=NODE", "the cables of a node, long enough ago that its ARP entry is gone"),
    ("cable node=NODE [leaf=LEAF]", "the cables of a node, a moment ago: its ARP entry is still there"),
    ("node-hung node=NODE", "a node that stops answering; its port stays up"),
    ("speaker-dead node=NODE", "the speaker of a node; its address stays"),
    ("speaker-silent node=NODE", "a speaker that does not answer"),
    ("as-mismatch node=NODE [leaf=LEAF]", "a speaker in another AS than the leaf expects"),
    ("peer-shutdown node=NODE [leaf=LEAF]", "sessions that the speaker shuts down"),
    ("prefix-limit node=NODE [leaf=LEAF]", "a session with more prefixes than the leaf accepts"),
    ("collision node=NODE", "two speakers on one address"),
    (
        "notification node=NODE code=Cease subcode=Connection-Rejected",
        "a session that the speaker closes with this NOTIFICATION",
    ),
    ("admin-disabled leaf=LEAF node=NODE", "a neighbor that is disabled in the configuration"),
    ("graceful-restart node=NODE", "sessions of a speaker that restarts: its routes are kept"),
    ("node-moved node=NODE leaf=LEAF", "a node that is plugged in at another leaf"),
    (
        "as-path-longer node=NODE",
        "paths with a longer AS path, which lose; on a leaf with several nodes (lab kubeadm-calico-metallb)",
    ),
    ("as-loop node=NODE", "paths that contain the leaf's own AS"),
    ("next-hop-unresolved node=NODE", "paths whose next-hop cannot be resolved"),
    ("damped node=NODE", "paths held back by route flap damping"),
    ("fib-disabled node=NODE", "paths that configuration keeps out of the forwarding table"),
    ("bgp-preference leaf=LEAF preference=N", "another preference of BGP's own routes; EVPN's stays"),
    (
        "multipath leaf=LEAF limit=1",
        "limit on paths that BGP installs per route; on a leaf with several nodes (lab kubeadm-calico-metallb)",
    ),
    (
        "ecmp-limit leaf=LEAF limit=1",
        "limit on next-hops that BGP and EVPN install per route (leaf4 of lab anycast-metallb)",
    ),
    ("fib-failed leaf=LEAF prefix=PREFIX", "a route that fails to be programmed"),
    ("fib-pending leaf=LEAF prefix=PREFIX", "a route whose programming stays pending; no verdict changes"),
    ("fib-suppressed leaf=LEAF prefix=PREFIX", "a route that is kept out of the hardware"),
    (
        "fib-recovered leaf=LEAF prefix=PREFIX",
        "a route whose programming fails for three seconds: the failure still shows after it has succeeded",
    ),
    ("policy-reject leaf=LEAF prefix=PREFIX", "a route that is received but not imported"),
    ("static-route leaf=LEAF network-instance=INSTANCE prefix=PREFIX next-hop=ADDRESS", "a prefix with a static route"),
    (
        "foreign-route leaf=LEAF network-instance=INSTANCE prefix=PREFIX next-hop=ADDRESS",
        "a prefix announced by a host that is not a node",
    ),
    ("announced node=NODE prefix=PREFIX", "a speaker that announces too much"),
    ("withheld node=NODE prefix=PREFIX", "a speaker that announces too little"),
    ("evpn-withdrawn leaf=LEAF [prefix=PREFIX]", "what a leaf advertises to others"),
    ("overlay-down leaf=LEAF", "a leaf that neither sends nor receives EVPN"),
    (
        "leaked leaf=LEAF prefix=PREFIX network-instance=INSTANCE",
        "a prefix that is imported into the wrong network instance",
    ),
    (
        "stale-entry leaf=LEAF address=ADDRESS node=NODE",
        "a stale ARP entry: a VIP's previous holder (lab arp-kube-vip)",
    ),
    ("duplicate-address address=ADDRESS node=NODE", "two nodes that answer ARP for one VIP in turn (lab arp-kube-vip)"),
    ("network-instance-missing leaf=LEAF network-instance=INSTANCE", "a network instance that is not configured"),
];

/// Returns all levers, one per line.
pub(crate) fn list() -> String {
    let width = LEVERS.iter().map(|(line, _)| line.len()).filter(|length| *length < 48).max().unwrap_or(0);
    LEVERS.iter().map(|(line, breaks)| format!("pull {line:<width$}  {breaks}\n")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::commands::parse::action;

    fn pulled(line: &str) -> anyhow::Result<String> {
        let words: Vec<String> = format!("pull {line}").split(' ').map(str::to_owned).collect();
        action(&words).map(|action| action.summary())
    }

    #[test]
    fn every_lever_of_the_fabric_is_listed_once() {
        let known = format!("{:#}", pulled("nothing node=n1").expect_err("there is no such lever"));
        let (_, known) = known.split_once("expected one of ").expect("the error lists them");
        let known: BTreeSet<&str> = known.split('`').skip(1).step_by(2).collect();
        let listed: Vec<&str> = LEVERS.iter().filter_map(|(line, _)| line.split(' ').next()).collect();
        assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), known);
        assert_eq!(listed.len(), known.len());
    }

    #[test]
    fn every_listed_lever_parses_as_typed() {
        for (line, _) in LEVERS {
            let typed = line.replace("PREFIX", "1.1.1.100/32").replace("ADDRESS", "1.1.1.100");
            let typed = typed.replace("preference=N", "preference=100");
            pulled(&typed.replace(['[', ']'], "")).expect(line);
            let shortest: Vec<&str> = typed.split(' ').filter(|word| !word.starts_with('[')).collect();
            pulled(&shortest.join(" ")).expect(line);
        }
    }
}
