//! Returns what the page shows, as JSON: the fabric, what is broken, and every leaf's `/k8s-services`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::datastore::Source;
use crate::fabric::Lever;
use crate::lab::Lab;

/// Path of the agent's state.
const ROOT: &str = "/k8s-services";

/// Returns everything the page shows.
pub(super) fn state(lab: &Lab) -> Value {
    let content = &lab.file().content;
    let leaves: serde_json::Map<String, Value> =
        lab.leaves().keys().map(|leaf| (leaf.clone(), reported(lab, leaf))).collect();
    json!({
        "name": content.name,
        "description": content.description,
        "fabric": fabric(lab),
        "pulled": lab.world.levers().iter().map(offer).collect::<Vec<_>>(),
        "offered": offered(lab).iter().map(offer).collect::<Vec<_>>(),
        "leaves": leaves,
    })
}

/// Returns the agent's state in a leaf's datastore; null before the agent has published any.
fn reported(lab: &Lab, leaf: &str) -> Value {
    let path = ROOT.parse().ok();
    let store = lab.leaves().get(leaf).map(|leaf| leaf.datastore());
    let value = store.zip(path).and_then(|(store, path)| store.json(Source::State, &path).ok().flatten());
    value.unwrap_or_default()
}

/// Returns switches, cables and nodes.
fn fabric(lab: &Lab) -> Value {
    let config = &lab.file().content.fabric;
    let leaves = config.leaves.iter().map(|(name, leaf)| {
        let spines: BTreeSet<&String> = leaf.uplinks.values().map(|uplink| &uplink.spine).collect();
        json!({ "name": name, "addresses": leaf.system, "spines": spines })
    });
    let nodes = config.clusters.iter().flat_map(|(cluster, it)| {
        it.nodes.iter().map(move |(name, node)| {
            json!({ "cluster": cluster, "name": name, "leaves": node.leaves, "addresses": node.addresses })
        })
    });
    json!({
        "spines": config.spines.keys().collect::<Vec<_>>(),
        "leaves": leaves.collect::<Vec<_>>(),
        "nodes": nodes.collect::<Vec<_>>(),
    })
}

/// Returns levers that make sense in this fabric, a few of each kind; the others are available by `srl-sim lever`.
fn offered(lab: &Lab) -> Vec<Lever> {
    let config = &lab.file().content.fabric;
    let mut levers = Vec::new();
    for (cluster, it) in &config.clusters {
        for (name, node) in &it.nodes {
            // Two clusters may have nodes with the same name.
            let node_name = format!("{cluster}/{name}");
            for leaf in &node.leaves {
                levers.push(Lever::SessionDown { leaf: Some(leaf.clone()), node: node_name.clone() });
            }
            levers.push(Lever::LinkDown { node: node_name.clone() });
            levers.push(Lever::SpeakerDead { node: node_name });
        }
    }
    levers.extend(config.leaves.keys().map(|leaf| Lever::OverlayDown { leaf: leaf.clone() }));
    levers
}

/// Returns a lever with the words with which it is pulled.
fn offer(lever: &Lever) -> Value {
    json!({ "words": lever.summary(), "lever": lever })
}
