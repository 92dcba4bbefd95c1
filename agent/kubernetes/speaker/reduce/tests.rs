use serde_json::Value;

use super::super::statuses::Statuses;
use super::*;

/// Returns what a manifest is reduced to, and the number of its unreadable parts.
fn read(resource: SpeakerResource, manifest: &str) -> (Option<SpeakerObject>, u64) {
    let object: Value = serde_norway::from_str(manifest).expect("a manifest");
    let mut reduced = Objects::new(resource, "/apis/x".into()).reduce(&object.to_string()).expect("readable");
    let (_, value) = reduced.entries.remove(0);
    (value, reduced.faults)
}

fn nets(texts: &[&str]) -> Box<[IpNet]> {
    texts.iter().map(|text| text.parse().expect("a prefix")).collect()
}

fn names(texts: &[&str]) -> Box<[Arc<str>]> {
    texts.iter().map(|text| Arc::from(*text)).collect()
}

fn label_in(label: &str, values: &[&str]) -> Requirement {
    Requirement { label: label.into(), operator: Operator::In(names(values)) }
}

#[test]
fn metallb_pools_are_read_as_prefixes_in_every_notation() {
    let manifest = "
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: vip-pool, namespace: metallb-system, labels: {zone: east}}
spec:
  autoAssign: false
  addresses: [1.1.1.0/24, 10.0.0.10 - 10.0.0.17, '2001:db8::1-2001:db8::2', 10.9.9.9/32, 10.0.0.5-10.0.0.1, oops]
status: {assignedIPv4: 1}";
    let (Some(SpeakerObject::Pool(pool)), faults) = read(SpeakerResource::MetallbPools, manifest) else {
        panic!("a pool")
    };
    let expected = [
        "1.1.1.0/24",
        "10.0.0.10/31",
        "10.0.0.12/30",
        "10.0.0.16/31",
        "10.9.9.9/32",
        "2001:db8::1/128",
        "2001:db8::2/128",
    ];
    assert_eq!((pool.prefixes, faults), (nets(&expected), 2));
    assert_eq!(pool.labels.get("zone"), Some("east"));
}

#[test]
fn metallb_advertisements_are_reduced_to_selectors_and_aggregation() {
    let manifest = "
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata: {name: rack1, namespace: metallb-system}
spec:
  ipAddressPools: [vip-pool]
  ipAddressPoolSelectors: [{matchLabels: {zone: east}}]
  nodeSelectors:
  - matchLabels: {rack: '1'}
    matchExpressions: [{key: role, operator: NotIn, values: [edge]}, {key: gpu, operator: DoesNotExist}]
  serviceSelectors: [{matchExpressions: [{key: app, operator: Exists}, {key: app, operator: Like}]}]
  peers: [tor1]
  aggregationLength: 26
  aggregationLengthV6: 129
  localPref: 150
  asPathPrepend: 3
  communities: [65535:65282]";
    let expected = MetallbAdvertisement {
        pools: MetallbPools {
            names: names(&["vip-pool"]),
            selectors: [Selector([label_in("zone", &["east"])].into())].into(),
        },
        node_selectors: [Selector(
            [
                label_in("rack", &["1"]),
                Requirement { label: "role".into(), operator: Operator::NotIn(names(&["edge"])) },
                Requirement { label: "gpu".into(), operator: Operator::DoesNotExist },
            ]
            .into(),
        )]
        .into(),
        service_selectors: [Selector([Requirement { label: "app".into(), operator: Operator::Exists }].into())].into(),
        peers: names(&["tor1"]),
        lengths: Lengths { v4: Some(26), v6: None },
        local_preference: 150,
        prepended: 3,
    };
    let read = read(SpeakerResource::MetallbAdvertisements, manifest);
    assert_eq!(read, (Some(SpeakerObject::MetallbAdvertisement(expected)), 2), "a length and an operator are none");
}

#[test]
fn l2_resources_are_reduced_to_what_they_select() {
    let manifest = "
metadata: {name: l2, namespace: metallb-system}
spec: {ipAddressPools: [vip-pool], nodeSelectors: [{matchLabels: {rack: '1'}}], interfaces: [eth1]}";
    let pools = MetallbPools { names: names(&["vip-pool"]), selectors: Box::default() };
    let expected = SpeakerObject::MetallbL2Advertisement(MetallbL2Advertisement { pools });
    assert_eq!(read(SpeakerResource::MetallbL2Advertisements, manifest), (Some(expected), 0));

    let manifest = "
metadata: {name: policy}
spec: {serviceSelector: {matchLabels: {color: blue}}, interfaces: [^eth], loadBalancerIPs: true}";
    let service_selector = Some(Selector([label_in("color", &["blue"])].into()));
    let expected = CiliumL2Policy { service_selector, load_balancer: true, external: false };
    assert_eq!(read(SpeakerResource::CiliumL2Policies, manifest), (Some(SpeakerObject::CiliumL2Policy(expected)), 0));
}

#[test]
fn metallb_peers_are_reduced_to_nodes_and_addresses_without_secrets() {
    let manifest = "
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {name: tor1, namespace: metallb-system}
spec:
  myASN: 65535
  peerASN: 65535
  peerAddress: 192.168.1.1
  sourceAddress: 192.168.1.11
  password: secret
  nodeSelectors: [{matchLabels: {kubernetes.io/hostname: cluster1}}]";
    let (value, faults) = read(SpeakerResource::MetallbPeers, manifest);
    let expected = MetallbPeer {
        node_selectors: [Selector([label_in("kubernetes.io/hostname", &["cluster1"])].into())].into(),
        source: Some("192.168.1.11".parse().expect("an address")),
        address: Some("192.168.1.1".parse().expect("an address")),
    };
    assert!(!format!("{value:?}").contains("secret"));
    assert_eq!((value, faults), (Some(SpeakerObject::MetallbPeer(expected)), 0));
}

#[test]
fn cilium_resources_are_reduced_to_who_announces_what() {
    let pool = "
metadata: {name: pool}
spec: {blocks: [{cidr: 10.1.0.0/24}, {start: 10.2.0.4, stop: 10.2.0.7}, {start: 10.3.0.1}, {}], disabled: false}";
    let (Some(SpeakerObject::Pool(pool)), 1) = read(SpeakerResource::CiliumPools, pool) else { panic!("a pool") };
    assert_eq!(pool.prefixes, nets(&["10.1.0.0/24", "10.2.0.4/30", "10.3.0.1/32"]));

    let advertisement = "
metadata: {name: vips, labels: {advertise: bgp}}
spec:
  advertisements:
  - {advertisementType: PodCIDR}
  - advertisementType: Service
    service: {addresses: [LoadBalancerIP], aggregationLengthIPv4: 24}
    selector: {matchExpressions: [{key: somekey, operator: NotIn, values: [never-used-value]}]}
  - {advertisementType: Service, service: {addresses: [ExternalIP]}}";
    let (Some(SpeakerObject::CiliumAdvertisement(read_of)), 0) =
        read(SpeakerResource::CiliumAdvertisements, advertisement)
    else {
        panic!("an advertisement")
    };
    assert_eq!(read_of.labels.get("advertise"), Some("bgp"));
    let [balancers, external] = &*read_of.services else { panic!("two of type Service: {read_of:?}") };
    assert!(balancers.load_balancer && !balancers.external && balancers.lengths.v4 == Some(24));
    assert!(balancers.selector.as_ref().is_some_and(|selector| selector.selects(|_| None)));
    assert!(external.external && external.selector.is_none());

    let cluster = "
metadata: {name: config}
spec:
  nodeSelector: {matchLabels: {bgp: 'true'}}
  bgpInstances:
  - name: main
    localASN: 65001
    peers:
    - {name: tor, peerASN: 65000, peerAddress: 10.0.0.1, peerConfigRef: {name: tor-config}}
    - {name: unconfigured, peerASN: 65000}";
    let expected = CiliumCluster {
        node_selector: Some(Selector([label_in("bgp", &["true"])].into())),
        peers: names(&["tor-config"]),
    };
    assert_eq!(read(SpeakerResource::CiliumClusters, cluster), (Some(SpeakerObject::CiliumCluster(expected)), 0));

    let peer = "
metadata: {name: tor-config}
spec:
  families:
  - {afi: ipv4, safi: unicast, advertisements: {matchLabels: {advertise: bgp}}}
  - {afi: ipv6, safi: unicast}
  - {afi: l2vpn, safi: evpn}";
    let selector = Selector([label_in("advertise", &["bgp"])].into());
    let expected = CiliumPeer { families: [(true, Some(selector)), (false, None)].into() };
    assert_eq!(read(SpeakerResource::CiliumPeers, peer), (Some(SpeakerObject::CiliumPeer(expected)), 0));

    let node = "
metadata: {name: node1}
spec:
  bgpInstances:
  - peers:
    - {name: tor, localAddress: 192.168.1.11, peerConfigRef: {group: cilium.io, kind: CiliumBGPPeerConfig, name: tor-config}}
status: {bgpInstances: [{peers: [{peeringState: established}]}]}";
    let local_addresses = ["192.168.1.11".parse().expect("an address")].into();
    let expected = CiliumNode { peers: names(&["tor-config"]), local_addresses };
    assert_eq!(read(SpeakerResource::CiliumNodes, node), (Some(SpeakerObject::CiliumNode(expected)), 0));
}

#[test]
fn calico_resources_are_reduced_to_ranges() {
    let configuration = "
metadata: {name: default}
spec:
  asNumber: 64512
  nodeToNodeMeshEnabled: false
  serviceLoadBalancerIPs: [{cidr: 10.1.0.0/16}, {cidr: 10.2.0.1}]
  serviceExternalIPs: [{cidr: 10.3.0.0/24}]
  serviceLoadBalancerAggregation: Disabled";
    let expected = CalicoConfiguration {
        load_balancer: nets(&["10.1.0.0/16", "10.2.0.1/32"]),
        external: nets(&["10.3.0.0/24"]),
        aggregation: false,
    };
    let read_of = read(SpeakerResource::CalicoConfigurations, configuration);
    assert_eq!(read_of, (Some(SpeakerObject::CalicoConfiguration(expected)), 0));

    let pods = "{metadata: {name: default-ipv4-ippool}, spec: {cidr: 10.244.0.0/16, ipipMode: Always}}";
    assert_eq!(read(SpeakerResource::CalicoPools, pods), (None, 0), "a pool of pods holds no VIPs");
    let vips = "{metadata: {name: vips}, spec: {cidr: 10.1.0.0/16, allowedUses: [LoadBalancer]}}";
    let (Some(SpeakerObject::Pool(pool)), 0) = read(SpeakerResource::CalicoPools, vips) else { panic!("a pool") };
    assert_eq!(pool.prefixes, nets(&["10.1.0.0/16"]));
}

#[test]
fn calico_peers_are_reduced_to_addresses_and_the_nodes_that_speak_with_them() {
    let peer = |spec: &str| read(SpeakerResource::CalicoPeers, &format!("{{metadata: {{name: p}}, spec: {{{spec}}}}}"));
    let reflectors = Some(Selector([Requirement { label: "bgp-rr".into(), operator: Operator::Exists }].into()));
    let address = Some("192.0.2.1".parse().expect("an address"));
    for (spec, expected, faults) in [
        ("peerIP: 192.0.2.1", CalicoPeer { node_selector: Some(Selector::default()), address, node: None }, 0),
        (
            "peerIP: '192.0.2.1:1790', nodeSelector: has(bgp-rr), password: {secretKeyRef: {name: s, key: k}}",
            CalicoPeer { node_selector: reflectors, address, node: None },
            0,
        ),
        (
            "peerIP: 192.0.2.1, node: n1, nodeSelector: 'has(a) || has(b)'",
            CalicoPeer { node_selector: None, address, node: Some("n1".into()) },
            0,
        ),
        ("peerIP: tor", CalicoPeer { node_selector: Some(Selector::default()), address: None, node: None }, 1),
    ] {
        assert_eq!(peer(spec), (Some(SpeakerObject::CalicoPeer(expected)), faults), "{spec}");
    }
    for inside in ["peerSelector: has(bgp-rr)", "peerIP: 192.0.2.1, localWorkloadSelector: all()", "asNumber: 64512"] {
        assert_eq!(peer(inside), (None, 0), "{inside}");
    }
}

#[test]
fn an_object_without_a_spec_is_empty_and_one_of_the_wrong_shape_unreadable() {
    for resource in SpeakerResource::ALL.iter().copied().filter(|one| !one.is_status()) {
        for object in [r#"{"metadata":{"name":"x"}}"#, r#"{"metadata":{"name":"x"},"spec":null}"#] {
            let reduced = Objects::new(resource, "/apis/x".into()).reduce(object);
            assert_eq!(reduced.expect("readable").faults, 0, "{resource}");
        }
        for object in ["{}", "7", r#"{"metadata":{"name":"x"},"spec":[7]}"#, r#"{"metadata":{"name":"x"},"spec":7}"#] {
            assert!(Objects::new(resource, "/apis/x".into()).reduce(object).is_err(), "{resource} {object}");
        }
    }
}

#[test]
fn an_object_with_a_longer_list_than_the_limit_is_unreadable() {
    use SpeakerResource as R;
    let (text, any) = (r#""x""#, "{}");
    let (cidr, exists) = (r#"{"cidr":"10.0.0.0/24"}"#, r#"{"key":"a","operator":"Exists"}"#);
    for (resource, spec, element) in [
        (R::MetallbPools, r#"{"addresses":[@]}"#, text),
        (R::MetallbAdvertisements, r#"{"ipAddressPools":[@]}"#, text),
        (R::MetallbAdvertisements, r#"{"ipAddressPoolSelectors":[@]}"#, any),
        (R::MetallbAdvertisements, r#"{"nodeSelectors":[@]}"#, any),
        (R::MetallbAdvertisements, r#"{"serviceSelectors":[@]}"#, any),
        (R::MetallbAdvertisements, r#"{"peers":[@]}"#, text),
        (R::MetallbL2Advertisements, r#"{"ipAddressPools":[@]}"#, text),
        (R::MetallbL2Advertisements, r#"{"ipAddressPoolSelectors":[@]}"#, any),
        (R::MetallbPeers, r#"{"nodeSelectors":[@]}"#, any),
        (R::MetallbPeers, r#"{"nodeSelectors":[{"matchExpressions":[@]}]}"#, exists),
        (R::MetallbPeers, r#"{"nodeSelectors":[{"matchExpressions":[{"operator":"In","values":[@]}]}]}"#, text),
        (R::CiliumPools, r#"{"blocks":[@]}"#, cidr),
        (R::CiliumPools, r#"{"cidrs":[@]}"#, cidr),
        (R::CiliumAdvertisements, r#"{"advertisements":[@]}"#, any),
        (R::CiliumAdvertisements, r#"{"advertisements":[{"service":{"addresses":[@]}}]}"#, text),
        (R::CiliumClusters, r#"{"bgpInstances":[@]}"#, any),
        (R::CiliumNodes, r#"{"bgpInstances":[{"peers":[@]}]}"#, any),
        (R::CiliumPeers, r#"{"families":[@]}"#, any),
        (R::CalicoConfigurations, r#"{"serviceLoadBalancerIPs":[@]}"#, cidr),
        (R::CalicoConfigurations, r#"{"serviceExternalIPs":[@]}"#, cidr),
        (R::CalicoPools, r#"{"allowedUses":[@]}"#, text),
    ] {
        let is_read = |count: usize| {
            let spec = spec.replace('@', &vec![element; count].join(","));
            let object = format!(r#"{{"metadata":{{"name":"x"}},"spec":{spec}}}"#);
            Objects::new(resource, "/apis/x".into()).reduce(&object).is_ok()
        };
        assert!(is_read(limits::ELEMENTS) && !is_read(limits::ELEMENTS + 1), "{resource} {spec}");
    }
}

#[test]
fn a_selector_with_more_labels_than_the_limit_is_unreadable() {
    let is_read = |count: usize| {
        let labels: Vec<String> = (0..count).map(|at| format!(r#""l{at}":null"#)).collect();
        let spec = format!(r#"{{"nodeSelectors":[{{"matchLabels":{{{}}}}}]}}"#, labels.join(","));
        let object = format!(r#"{{"metadata":{{"name":"x"}},"spec":{spec}}}"#);
        Objects::new(SpeakerResource::MetallbPeers, "/apis/x".into()).reduce(&object).is_ok()
    };
    assert!(is_read(limits::LABELS) && !is_read(limits::LABELS + 1));
}

#[test]
fn a_status_with_more_peers_than_the_limit_is_unreadable() {
    let is_read = |count: usize| {
        let peers = vec![r#""p""#; count].join(",");
        let object = format!(r#"{{"metadata":{{"namespace":"m","name":"x"}},"status":{{"peers":[{peers}]}}}}"#);
        Statuses::new(SpeakerResource::MetallbStatuses, "/apis/x".into()).reduce(&object).is_ok()
    };
    assert!(is_read(limits::ELEMENTS) && !is_read(limits::ELEMENTS + 1));
}

#[test]
fn ranges_are_read_up_to_the_limit_of_prefixes() {
    let ends = |at: usize| (format!("2001:db8:{at:x}::1"), format!("2001:db8:{at:x}:ffff:ffff:ffff:ffff:fffe"));
    let spans: Vec<String> = (0..40).map(ends).map(|(start, stop)| format!(r#""{start}-{stop}""#)).collect();
    let blocks: Vec<String> =
        (0..40).map(ends).map(|(start, stop)| format!(r#"{{"start":"{start}","stop":"{stop}"}}"#)).collect();
    let (spans, blocks) = (spans.join(","), blocks.join(","));
    for (resource, spec) in [
        (SpeakerResource::MetallbPools, format!(r#"{{"addresses":[{spans}]}}"#)),
        (SpeakerResource::CiliumPools, format!(r#"{{"blocks":[{blocks}]}}"#)),
        (SpeakerResource::CalicoConfigurations, format!(r#"{{"serviceLoadBalancerIPs":[{blocks}]}}"#)),
    ] {
        let object = format!(r#"{{"metadata":{{"name":"p1"}},"spec":{spec}}}"#);
        let reduced = Objects::new(resource, "/apis/x".into()).reduce(&object).expect("readable");
        let prefixes = match &reduced.entries[0].1 {
            Some(SpeakerObject::Pool(pool)) => pool.prefixes.len(),
            Some(SpeakerObject::CalicoConfiguration(configuration)) => configuration.load_balancer.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!(prefixes, limits::PREFIXES, "{resource}");
        let said = format!("p1 of {} has more than 5000 prefixes, of which 5000 are read", resource.plural());
        assert_eq!(reduced.excess, Some(said));
    }
}
