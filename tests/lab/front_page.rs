//! Checks that the front page shows what a leaf of a broken fabric prints.
//!
//! `UPDATE_README=1 cargo test --test lab front_page` updates the page.

use std::path::Path;

use crate::bench::{Bench, Says};
use crate::readme::printed;

const NODE: &str = "/k8s-services/cluster[name=c1]/node[name=cluster1]";
const SESSION_ALARM: &str = "/k8s-services/alarm[id=neighbor-session-down/c1/cluster1]/severity";
const ENDPOINT_ALARM: &str = "/k8s-services/alarm[id=vip-no-endpoint/c1/shop/cart/1.1.1.101]/severity";
const SERVICES: &str = "/k8s-services/cluster[name=c1]/service[namespace=";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_front_page_shows_what_a_leaf_of_a_broken_fabric_prints() {
    let bench = Bench::healthy().await;
    bench
        .act(&[
            "apply: { cluster: c1, file: ../../tests/cli_plugin/more-services.yaml }",
            "pull: { session-down: { leaf: leaf1, node: cluster1 } }",
        ])
        .await;
    let [hello, checkout] = [("default", "nginxhello", "1.1.1.100"), ("shop", "checkout", "1.1.1.102")]
        .map(|(space, name, vip)| format!("{SERVICES}{space}][name={name}]/vip[address={vip}]/probable-cause"));
    let expected = [
        (&*format!("{NODE}/probable-cause"), Says::Is("hold-timer-expired")),
        (&*hello, Says::Is("hold-timer-expired")),
        (&*checkout, Says::Is("hold-timer-expired")),
        (SESSION_ALARM, Says::Is("major")),
        (ENDPOINT_ALARM, Says::Is("minor")),
        ("/k8s-services/summary/alarms-major", Says::Is("1")),
        ("/k8s-services/summary/alarms-minor", Says::Is("1")),
        // Freshness is written every ten seconds.
        ("/k8s-services/summary/source[name=gnmi]/last-event", Says::Anything),
        ("/k8s-services/summary/source[name=kubernetes/c1]/last-event", Says::Anything),
        ("/k8s-services/summary/source[name=ndk]/last-event", Says::Anything),
    ];
    bench.until("leaf1", &expected).await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let before = std::fs::read_to_string(&path).expect("the front page");
    let after = printed(&bench, &before).await;
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(path, &after).expect("it can be written");
    } else {
        let (shown, prints) = (timeless(&before), timeless(&after));
        let differs = shown.iter().zip(&prints).find(|(shown, prints)| shown != prints);
        assert_eq!(differs, None, "README.md; UPDATE_README=1 writes it anew");
        assert_eq!(shown.len(), prints.len(), "README.md; UPDATE_README=1 writes it anew");
    }
    bench.down().await;
}

/// Returns the lines without times, ages, versions, and widths that depend on ages.
fn timeless(text: &str) -> Vec<String> {
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect()
}

/// Replaces words such as `3s`, `1m20s`, `04:31:55Z`, `2026-11-30T04:31:55Z`, `0.1.0+38ce2ec21` and `-----`.
fn word(word: &str) -> &str {
    let bare = word.trim_end_matches([',', ';']);
    let begins = bare.starts_with(|c: char| c.is_ascii_digit());
    let consists = |of: &str| bare.chars().all(|c| c.is_ascii_digit() || of.contains(c));
    match bare {
        _ if bare.chars().all(|c| c == '-') => "-",
        _ if begins && bare.ends_with('Z') && consists(":-TZ.") => "<time>",
        _ if begins && bare.ends_with(['s', 'm', 'h', 'd']) && consists("smhd") => "<time>",
        _ if begins && bare.contains('+') => "<version>",
        _ => word,
    }
}
