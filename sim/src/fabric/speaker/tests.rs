//! Tests of each speaker's rules.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::super::config::{ClusterConfig, Speaker, SpeakerFlags};
use super::super::objects::Objects;
use super::{Peering, announced};

const NODES: [&str; 2] = ["n1", "n2"];

fn service(policy: &str) -> Value {
    json!({
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
        "spec": {"type": "LoadBalancer", "externalTrafficPolicy": policy},
        "status": {"loadBalancer": {"ingress": [{"ip": "10.9.0.1"}]}},
    })
}

fn changed(mut value: Value, pointer: &str, to: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    value.pointer_mut(parent).expect("a parent")[key] = to;
    value
}

fn slice(endpoints: Value) -> Value {
    json!({"kind": "EndpointSlice", "metadata": {"name": "web-1", "namespace": "default",
        "labels": {"kubernetes.io/service-name": "web"}}, "endpoints": endpoints})
}

fn ready_on_n1() -> Value {
    slice(json!([{"nodeName": "n1", "conditions": {"ready": true}}]))
}

fn terminating_on_n1() -> Value {
    slice(json!([{"nodeName": "n1", "conditions": {"ready": false, "serving": true, "terminating": true}}]))
}

fn nothing() -> Value {
    slice(json!([]))
}

fn node(name: &str) -> Value {
    json!({"kind": "Node", "metadata": {"name": name, "labels": {"name": name}}, "status": {}})
}

/// Returns what n1 and n2 announce; `-` for a node without a session.
fn says(speaker: Speaker, objects: &[Value]) -> [String; 2] {
    says_with(speaker, SpeakerFlags::default(), objects)
}

fn says_with(speaker: Speaker, speaker_flags: SpeakerFlags, objects: &[Value]) -> [String; 2] {
    let cluster = ClusterConfig {
        network_instance: "vrf".to_owned(),
        autonomous_system: 65001,
        speaker,
        speaker_flags,
        pod_network: None,
        nodes: std::collections::BTreeMap::new(),
    };
    let mut objects = objects.to_vec();
    for name in NODES {
        if !objects.iter().any(|object| object["kind"] == "Node" && object["metadata"]["name"] == name) {
            objects.push(node(name));
        }
    }
    let objects = Objects::read(&objects);
    let leaf_addresses: Vec<IpAddr> = vec!["192.168.1.1".parse().expect("an address")];
    NODES.map(|node| {
        let peering = Peering { node, leaf_addresses: &leaf_addresses, leaf_as: 65000, node_as: 65001, v4: true };
        announced(&cluster, &objects, &peering).map_or("-".to_owned(), |prefixes| spell(&prefixes))
    })
}

fn spell(prefixes: &BTreeSet<IpNet>) -> String {
    prefixes.iter().map(IpNet::to_string).collect::<Vec<_>>().join(" ")
}

const VIP: &str = "10.9.0.1/32";

#[test]
fn policy_local_needs_a_usable_endpoint_on_the_node() {
    for speaker in [Speaker::Metallb, Speaker::Cilium, Speaker::KubeRouter, Speaker::Generic] {
        assert_eq!(says(speaker, &[service("Local"), ready_on_n1()]), [VIP, ""], "{speaker:?}");
    }
}

#[test]
fn only_metallb_and_generic_withdraw_under_policy_cluster_without_endpoints() {
    let objects = [service("Cluster"), nothing()];
    assert_eq!(says(Speaker::Metallb, &objects), ["", ""]);
    assert_eq!(says(Speaker::Generic, &objects), ["", ""]);
    assert_eq!(says(Speaker::Cilium, &objects), [VIP, VIP]);
    assert_eq!(says(Speaker::KubeRouter, &objects), [VIP, VIP]);
    let flags = SpeakerFlags { no_endpoints_routable: false, ..SpeakerFlags::default() };
    assert_eq!(says_with(Speaker::Cilium, flags, &objects), ["", ""]);
}

#[test]
fn a_serving_terminating_endpoint_counts_for_metallb_and_kube_router() {
    let objects = [service("Local"), terminating_on_n1()];
    assert_eq!(says(Speaker::Metallb, &objects), [VIP, ""]);
    assert_eq!(says(Speaker::KubeRouter, &objects), [VIP, ""]);
    assert_eq!(says(Speaker::Cilium, &objects), ["", ""]);
}

#[test]
fn metallb_respects_labels_and_network_conditions_of_nodes() {
    let labelled = changed(node("n1"), "/metadata/labels/unrelated", json!(""));
    let mut labelled_node = node("n1");
    labelled_node["metadata"]["labels"]["node.kubernetes.io/exclude-from-external-load-balancers"] = json!("");
    let objects = |node: Value| [service("Cluster"), ready_on_n1(), node];
    assert_eq!(says(Speaker::Metallb, &objects(labelled)), [VIP, VIP], "another label");
    assert_eq!(says(Speaker::Metallb, &objects(labelled_node.clone())), ["", VIP]);
    let flags = SpeakerFlags { ignore_exclude_label: true, ..SpeakerFlags::default() };
    assert_eq!(says_with(Speaker::Metallb, flags, &objects(labelled_node)), [VIP, VIP]);
    let conditions = json!([{"type": "NetworkUnavailable", "status": "True"}, {"type": "Ready", "status": "False"}]);
    assert_eq!(says(Speaker::Metallb, &objects(changed(node("n1"), "/status/conditions", conditions))), ["", VIP]);
    let not_ready = json!([{"type": "Ready", "status": "False"}]);
    assert_eq!(says(Speaker::Metallb, &objects(changed(node("n1"), "/status/conditions", not_ready))), [VIP, VIP]);
}

#[test]
fn metallb_needs_an_advertisement_that_selects_pool_node_and_service() {
    let pool = json!({"kind": "IPAddressPool", "metadata": {"name": "p"}, "spec": {"addresses": ["10.9.0.0/24"]}});
    let advertisement = |spec: Value| json!({"kind": "BGPAdvertisement", "metadata": {"name": "a"}, "spec": spec});
    let with =
        |spec: Value| says(Speaker::Metallb, &[service("Cluster"), ready_on_n1(), pool.clone(), advertisement(spec)]);
    assert_eq!(says(Speaker::Metallb, &[service("Cluster"), ready_on_n1(), pool.clone()]), ["", ""]);
    assert_eq!(with(json!({})), [VIP, VIP]);
    assert_eq!(with(json!({"ipAddressPools": ["other"]})), ["", ""]);
    assert_eq!(with(json!({"nodeSelectors": [{"matchLabels": {"name": "n2"}}]})), ["", VIP]);
    assert_eq!(with(json!({"serviceSelectors": [{"matchLabels": {"app": "db"}}]})), ["", ""]);
    assert_eq!(with(json!({"aggregationLength": 24})), ["10.9.0.0/24", "10.9.0.0/24"]);
}

#[test]
fn metallb_announces_nothing_if_advertisements_to_a_peer_disagree_on_attributes() {
    let pool = json!({"kind": "IPAddressPool", "metadata": {"name": "p"}, "spec": {"addresses": ["10.9.0.0/24"]}});
    let advertisement = |spec: Value| json!({"kind": "BGPAdvertisement", "metadata": {"name": "a"}, "spec": spec});
    let peer = |name: &str| {
        let spec = json!({"myASN": 65001, "peerASN": 65000, "peerAddress": "192.168.1.1"});
        json!({"kind": "BGPPeer", "metadata": {"name": name}, "spec": spec})
    };
    let both = |one: Value, other: Value| {
        let cluster = [service("Cluster"), ready_on_n1(), pool.clone(), peer("a"), peer("b")];
        says(Speaker::Metallb, &[&cluster[..], &[advertisement(one), advertisement(other)]].concat())
    };
    let chosen = json!([{"matchExpressions": [{"key": "none", "operator": "DoesNotExist"}]}]);
    let low = json!({"localPref": 100, "serviceSelectors": chosen});
    assert_eq!(both(low.clone(), json!({"localPref": 200})), ["", ""]);
    assert_eq!(both(low.clone(), json!({"localPref": 100})), [VIP, VIP]);
    assert_eq!(both(low.clone(), json!({"localPref": 100, "asPathPrepend": 2})), ["", ""]);
    assert_eq!(
        both(low.clone(), json!({"localPref": 200, "aggregationLengthV6": 64})),
        ["", ""],
        "the pool has no IPv6"
    );
    let shorter = both(low, json!({"localPref": 200, "aggregationLength": 24}));
    assert_eq!(shorter, ["10.9.0.0/24 10.9.0.1/32", "10.9.0.0/24 10.9.0.1/32"]);
    let to =
        |peer: &str, preference: u32| json!({"peers": [peer], "localPref": preference, "serviceSelectors": chosen});
    assert_eq!(both(to("a", 100), to("a", 200)), ["", ""]);
    assert_eq!(both(to("a", 100), to("b", 200)), [VIP, VIP]);
    let all = both(json!({"localPref": 100}), json!({"localPref": 200}));
    assert_eq!(all, [VIP, VIP], "MetalLB does not take these and goes on with what it had");
}

#[test]
fn metallb_speaks_only_to_peers_that_select_the_node_and_name_the_leaf() {
    let peer = json!({"kind": "BGPPeer", "metadata": {"name": "p"}, "spec": {
        "myASN": 65001, "peerASN": 65000, "peerAddress": "192.168.1.1",
        "nodeSelectors": [{"matchLabels": {"name": "n1"}}],
    }});
    assert_eq!(says(Speaker::Metallb, &[service("Cluster"), ready_on_n1(), peer]), [VIP, "-"]);
}

#[test]
fn each_speaker_treats_load_balancer_classes_in_its_own_way() {
    let classed = changed(service("Cluster"), "/spec/loadBalancerClass", json!("io.cilium/bgp-control-plane"));
    let objects = [classed, ready_on_n1()];
    assert_eq!(says(Speaker::Metallb, &objects), ["", ""]);
    assert_eq!(says(Speaker::Cilium, &objects), [VIP, VIP]);
    let other = [changed(service("Cluster"), "/spec/loadBalancerClass", json!("example.com/other")), ready_on_n1()];
    assert_eq!(says(Speaker::Cilium, &other), ["", ""]);
    assert_eq!(says(Speaker::KubeRouter, &other), [VIP, VIP]);
}

#[test]
fn cilium_advertises_what_its_resources_select() {
    let cluster = json!({"kind": "CiliumBGPClusterConfig", "metadata": {"name": "c"}, "spec": {
        "nodeSelector": {"matchLabels": {"name": "n1"}},
        "bgpInstances": [{"peers": [{"peerAddress": "192.168.1.1", "peerConfigRef": {"name": "tor"}}]}],
    }});
    let peer = json!({"kind": "CiliumBGPPeerConfig", "metadata": {"name": "tor"}, "spec": {
        "families": [{"afi": "ipv4", "safi": "unicast", "advertisements": {"matchLabels": {"advertise": "bgp"}}}],
    }});
    let advertisement = |selector: Value| {
        json!({"kind": "CiliumBGPAdvertisement", "metadata": {"name": "a", "labels": {"advertise": "bgp"}}, "spec": {
            "advertisements": [{"advertisementType": "Service", "service": {"addresses": ["LoadBalancerIP"]},
                "selector": selector}],
        }})
    };
    let with = |selector: Value| {
        says(
            Speaker::Cilium,
            &[service("Cluster"), ready_on_n1(), cluster.clone(), peer.clone(), advertisement(selector)],
        )
    };
    assert_eq!(with(json!({"matchLabels": {"app": "web"}})), [VIP, "-"]);
    assert_eq!(with(json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]})), ["", "-"]);
    assert_eq!(with(json!({})), [VIP, "-"], "an empty selector selects all");
    assert_eq!(with(Value::Null), ["", "-"], "no selector selects nothing");
}

#[test]
fn ciliums_old_peering_policies_select_nodes_and_services() {
    let policy = |node: &str, selector: Value| {
        json!({"kind": "CiliumBGPPeeringPolicy", "metadata": {"name": node}, "spec": {
            "nodeSelector": {"matchLabels": {"name": node}},
            "virtualRouters": [{"neighbors": [{"peerAddress": "192.168.1.1/32"}], "serviceSelector": selector}],
        }})
    };
    let with = |policies: &[Value]| {
        let mut objects = vec![service("Cluster"), ready_on_n1()];
        objects.extend_from_slice(policies);
        says(Speaker::Cilium, &objects)
    };
    assert_eq!(with(&[policy("n1", json!({"matchLabels": {"app": "web"}}))]), [VIP, "-"]);
    assert_eq!(with(&[policy("n1", Value::Null)]), ["", "-"], "no selector selects nothing");
    assert_eq!(with(&[policy("n1", json!({})), policy("n1", json!({}))]), ["-", "-"], "two policies are none");
}

#[test]
fn ciliums_old_peering_policies_export_pod_cidrs_if_configured() {
    let policy = |export: bool| {
        json!({"kind": "CiliumBGPPeeringPolicy", "metadata": {"name": "all"}, "spec": {"virtualRouters": [
            {"neighbors": [{"peerAddress": "192.168.1.1/32"}], "serviceSelector": null, "exportPodCIDR": export},
        ]}})
    };
    let own =
        json!({"kind": "CiliumNode", "metadata": {"name": "n1"}, "spec": {"ipam": {"podCIDRs": ["10.1.0.0/24"]}}});
    let mut of_cluster = node("n2");
    of_cluster["spec"] = json!({"podCIDRs": ["10.2.0.0/24", "fd00::/64"]});
    let objects = |export| [policy(export), own.clone(), of_cluster.clone()];
    assert_eq!(says(Speaker::Cilium, &objects(true)), ["10.1.0.0/24", "10.2.0.0/24"]);
    assert_eq!(says(Speaker::Cilium, &objects(false)), ["", ""]);
}

#[test]
fn calico_announces_blocks_from_everyone_and_hosts_for_policy_local() {
    let config = |spec: Value| json!({"kind": "BGPConfiguration", "metadata": {"name": "default"}, "spec": spec});
    let with = |policy: &str, spec: Value| says(Speaker::Calico, &[service(policy), ready_on_n1(), config(spec)]);
    let block = json!({"serviceLoadBalancerIPs": [{"cidr": "10.9.0.0/24"}], "nodeToNodeMeshEnabled": false});
    assert_eq!(says(Speaker::Calico, &[service("Local"), ready_on_n1()]), ["", ""], "nothing configured");
    assert_eq!(with("Cluster", block.clone()), ["10.9.0.0/24", "10.9.0.0/24"]);
    assert_eq!(with("Local", block), ["10.9.0.0/24 10.9.0.1/32", "10.9.0.0/24"]);
    let meshed = json!({"serviceLoadBalancerIPs": [{"cidr": "10.9.0.0/24"}]});
    let both = "10.9.0.0/24 10.9.0.1/32";
    assert_eq!(with("Local", meshed), [both, both], "the mesh passes host routes on");
    let single = json!({"serviceLoadBalancerIPs": [{"cidr": "10.9.0.1/32"}]});
    assert_eq!(with("Cluster", single), [VIP, VIP]);
    let disaggregated = json!({"serviceLoadBalancerIPs": [{"cidr": "10.9.0.0/24"}],
        "serviceLoadBalancerAggregation": "Disabled"});
    assert_eq!(with("Cluster", disaggregated), [VIP, VIP]);
}

#[test]
fn absurd_objects_are_ignored() {
    let objects = [
        json!(null),
        json!({"kind": "Service"}),
        json!({"kind": "Service", "metadata": 7, "spec": {"type": "LoadBalancer"},
            "status": {"loadBalancer": {"ingress": [{"ip": "nonsense"}, {"hostname": "x"}, 3]}}}),
        json!({"kind": "EndpointSlice", "endpoints": "none"}),
        json!({"kind": "Node", "status": {"conditions": {}}}),
        service("Cluster"),
        ready_on_n1(),
    ];
    assert_eq!(says(Speaker::Metallb, &objects), [VIP, VIP]);
}

#[test]
fn calico_speaks_only_to_peers_that_select_the_node_and_name_the_leaf() {
    let config = json!({"kind": "BGPConfiguration", "metadata": {"name": "default"},
        "spec": {"serviceLoadBalancerIPs": [{"cidr": "10.9.0.1/32"}]}});
    let peer = |spec: Value| json!({"kind": "BGPPeer", "metadata": {"name": "p"}, "spec": spec});
    let with = |spec: Value| says(Speaker::Calico, &[service("Cluster"), ready_on_n1(), config.clone(), peer(spec)]);
    assert_eq!(says(Speaker::Calico, &[service("Cluster"), ready_on_n1(), config.clone()]), [VIP, VIP]);
    assert_eq!(with(json!({"peerIP": "192.168.1.1", "asNumber": 65000})), [VIP, VIP]);
    assert_eq!(with(json!({"peerIP": "192.168.1.1", "node": "n1"})), [VIP, "-"]);
    assert_eq!(with(json!({"peerIP": "192.168.1.1", "nodeSelector": "name == 'n2'"})), ["-", VIP]);
    assert_eq!(with(json!({"peerIP": "192.168.1.1", "nodeSelector": "has(rack)"})), ["-", "-"]);
    assert_eq!(with(json!({"peerIP": "192.168.9.9"})), ["-", "-"]);
}

#[test]
fn each_kube_router_annotation_affects_one_kind_of_address() {
    let mut every = service("Cluster");
    every["spec"]["externalIPs"] = json!(["10.9.0.2"]);
    every["spec"]["clusterIPs"] = json!(["10.9.0.3"]);
    let with = |annotations: Value| {
        let mut service = every.clone();
        service["metadata"]["annotations"] = annotations;
        says(Speaker::KubeRouter, &[service, ready_on_n1()])[0].clone()
    };
    assert_eq!(with(json!({})), VIP);
    assert_eq!(with(json!({"kube-router.io/service.advertise.loadbalancerip": "false"})), "");
    assert_eq!(with(json!({"kube-router.io/service.advertise.externalip": "true"})), "10.9.0.1/32 10.9.0.2/32");
    let cluster = json!({
        "kube-router.io/service.advertise.clusterip": "true",
        "kube-router.io/service.skiplbips": "true",
    });
    assert_eq!(with(cluster), "10.9.0.3/32");
}

#[test]
fn kube_vip_announces_from_all_nodes_or_the_named_one() {
    let named = |host: &str| {
        let mut service = service("Cluster");
        service["metadata"]["annotations"] = json!({"kube-vip.io/vipHost": host});
        says(Speaker::KubeVip, &[service, ready_on_n1()])
    };
    assert_eq!(says(Speaker::KubeVip, &[service("Cluster"), ready_on_n1()]), [VIP, VIP]);
    assert_eq!(says(Speaker::KubeVip, &[service("Local"), ready_on_n1()]), [VIP, ""]);
    assert_eq!(named("n2"), ["", VIP]);
    assert_eq!(named("n9"), ["", ""]);
}
