use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::config::{Connection, Speaker};
use crate::model::selector::Labels;

fn config() -> Source {
    Source {
        connection: Connection::Kubeconfig { path: "/k".into(), context: None },
        network_namespace: None,
        speaker: Speaker::Metallb,
        namespaces: [].into(),
        label_selector: None,
        include_external_ips: false,
        node_address_annotation: Some("example.com/bgp".into()),
        node_labels: true,
    }
}

fn ips<const N: usize>(texts: [&str; N]) -> Box<[IpAddr]> {
    texts.map(|text| text.parse().expect("an address")).into()
}

fn service_with(config: &Source, object: Value) -> (Option<Service>, u64) {
    let mut reduced = Services::new(config).reduce(&object.to_string()).expect("readable");
    assert_eq!(reduced.entries.len(), 1);
    (reduced.entries.remove(0).1, reduced.faults)
}

fn service(object: Value) -> (Option<Service>, u64) {
    service_with(&config(), object)
}

fn balancer(spec: Value, ingress: Value) -> Value {
    let mut spec = spec;
    spec["type"] = json!("LoadBalancer");
    json!({"metadata": {"namespace": "d", "name": "s"}, "spec": spec, "status": {"loadBalancer": {"ingress": ingress}}})
}

#[test]
fn a_load_balancer_service_is_reduced_to_the_fields_the_engine_reads() {
    let spec = json!({"externalTrafficPolicy": "Local", "loadBalancerClass": "x/y", "externalIPs": ["192.0.2.1"]});
    let ingress = json!([{"ip": "2001:db8::1", "ipMode": "VIP"}, {"ip": "10.0.0.2"}, {"ip": "10.0.0.2", "ports": []}]);
    let mut object = balancer(spec, ingress);
    object["metadata"]["annotations"] = json!({
        "kube-router.io/service.local": "true", "kube-router.io/service.skiplbips": "",
        "kube-router.io/service.advertise.loadbalancerip": "false", "service.cilium.io/type": "ClusterIP"});
    let expected = Service {
        load_balancer: true,
        policy: TrafficPolicy::Local,
        class: Some("x/y".into()),
        ingress: ips(["10.0.0.2", "2001:db8::1"]),
        ingress_unusable: None,
        external_ips: ips(["192.0.2.1"]),
        hints: ServiceHints {
            kube_router_local: true,
            kube_router_skip_lb_ips: true,
            kube_router_no_advertise: true,
            cilium_no_load_balancer: true,
            ..ServiceHints::default()
        },
        labels: Labels::default(),
    };
    assert_eq!(service(object), (Some(expected), 0));
}

#[test]
fn invalid_ingress_addresses_are_left_out_and_reported() {
    let mixed = service(balancer(json!({}), json!([{"hostname": "x.example"}, {"ip": "oops"}, {"ip": "10.0.0.2"}])));
    let (found, faults) = (mixed.0.expect("a load balancer"), mixed.1);
    assert_eq!((found.ingress, found.ingress_unusable, faults), (ips(["10.0.0.2"]), None, 1));
    for (ingress, expected) in [
        (json!([{"hostname": "x.example"}]), Some(IngressUnusable::HostName("x.example".into()))),
        (
            json!([{"ip": "10.0.0.1", "ipMode": "Proxy"}]),
            Some(IngressUnusable::Proxy("10.0.0.1".parse().expect("an address"))),
        ),
        (json!([{"ip": "10.0.0.256"}]), Some(IngressUnusable::NotAnAddress("10.0.0.256".into()))),
        (json!([{}]), None),
        (Value::Null, None),
    ] {
        let found = service(balancer(json!({}), ingress)).0.expect("a load balancer");
        assert_eq!((found.ingress, found.ingress_unusable), (ips([]), expected));
    }
}

#[test]
fn other_services_are_absent_unless_they_have_external_ips() {
    let object =
        |addresses: Value| json!({"metadata": {"name": "s"}, "spec": {"type": "ClusterIP", "externalIPs": addresses}});
    assert_eq!(service(object(json!([]))).0, None);
    // Also if they are not requested: a route to one of them is claimed nevertheless.
    let (found, faults) = service(object(json!(["192.0.2.1", "x"])));
    let found = found.expect("may have VIPs");
    assert_eq!((found.load_balancer, found.external_ips, faults), (false, ips(["192.0.2.1"]), 1));
}

#[test]
fn missing_endpoint_conditions_have_the_defaults_of_the_api() {
    let object = json!({
        "metadata": {"namespace": "d", "name": "s-abc", "labels": {"kubernetes.io/service-name": "s"}},
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": ["10.1.0.1"], "nodeName": "n1", "targetRef": {"kind": "Pod", "namespace": "d", "name": "p1"}},
            {"addresses": ["10.1.0.2"], "conditions": {"ready": false}, "targetRef": {}},
            {"addresses": ["10.1.0.3"], "conditions": {"ready": false, "serving": true, "terminating": true}},
            {"addresses": ["10.1.0.4"], "conditions": {"ready": null, "serving": null}, "nodeName": ""},
            {"addresses": []}, {"addresses": ["2001:db8::1"]}, {},
        ],
    });
    let mut reduced = Slices::default().reduce(&object.to_string()).expect("readable");
    assert_eq!(reduced.faults, 3);
    let (key, slice) = reduced.entries.remove(0);
    assert_eq!((&*key.namespace, &*key.name), ("d", "s-abc"));
    let slice = slice.expect("it belongs to a service");
    let endpoint = |identity, node: Option<&str>, ready, serving| Endpoint {
        identity,
        node: node.map(NodeName::from),
        ready,
        serving,
    };
    assert_eq!(slice.service, ServiceKey::new("d", "s"));
    assert_eq!(
        *slice.endpoints,
        [
            endpoint(EndpointIdentity::of(("Pod", "d", "p1")), Some("n1"), true, true),
            endpoint(EndpointIdentity::of("10.1.0.2"), None, false, false),
            endpoint(EndpointIdentity::of("10.1.0.3"), None, false, true),
            endpoint(EndpointIdentity::of("10.1.0.4"), None, true, true),
        ]
    );
}

#[test]
fn a_slice_without_a_service_or_of_an_unknown_family_is_absent() {
    for (labels, family, faults) in
        [(json!({}), json!("IPv4"), 0), (json!({SERVICE_NAME_LABEL: "s"}), json!("IPv9"), 1)]
    {
        let object = json!({"metadata": {"name": "x", "labels": labels}, "addressType": family, "endpoints": null});
        let reduced = Slices::default().reduce(&object.to_string()).expect("readable");
        assert!(reduced.entries[0].1.is_none());
        assert_eq!(reduced.faults, faults);
    }
}

#[test]
fn endpoints_become_a_slice_per_family_and_absent_families_are_withdrawn() {
    let object = json!({"metadata": {"namespace": "d", "name": "s"}, "subsets": [
        {"addresses": [{"ip": "10.1.0.1", "nodeName": "n1"}], "notReadyAddresses": [{"ip": "10.1.0.2"}, {"ip": "x"}]},
        {"addresses": null},
    ]});
    let mut kind = CoreEndpoints::default();
    let reduced = kind.reduce(&object.to_string()).expect("readable");
    assert_eq!(reduced.faults, 1);
    let ready: Vec<_> = reduced.entries[0].1.iter().flat_map(|slice| slice.endpoints.iter().map(|e| e.ready)).collect();
    assert_eq!(ready, [true, false]);
    assert!(reduced.entries[1].1.is_none());
    let meta = Meta { namespace: Some("d".into()), name: Some("s".into()), ..Meta::default() };
    let keys: Vec<_> = reduced.entries.into_iter().map(|(key, _)| key).collect();
    assert_eq!(kind.keys(&meta).expect("named"), keys);
}

#[test]
fn node_addresses_are_collected_from_status_and_annotations() {
    let object = json!({
        "metadata": {
            "name": "n1",
            "uid": "b2d1",
            "labels": {EXCLUDE_LABEL: ""},
            "annotations": {
                "example.com/bgp": "192.168.1.11, 2001:db8::11",
                "projectcalico.org/IPv4Address": "192.168.1.11/24",
                "projectcalico.org/IPv6Address": "fd00::11/64",
                "kube-router.io/bgp-local-addresses": "10.9.9.9,192.168.1.11",
            },
        },
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": "192.168.49.2"}, {"type": "InternalIP", "address": "bad"},
                {"type": "ExternalIP", "address": "203.0.113.1"}, {"type": "Hostname", "address": "n1"},
            ],
            "conditions": [{"type": "Ready", "status": "False"}, {"type": "NetworkUnavailable", "status": "True"}],
        },
    });
    let mut reduced = Nodes::new(&config()).reduce(&object.to_string()).expect("readable");
    let expected = Node {
        uid: Some(NodeUid::of("b2d1")),
        annotated: ips(["192.168.1.11", "2001:db8::11"]),
        speaker: ips(["192.168.1.11", "fd00::11", "10.9.9.9"]),
        internal: ips(["192.168.49.2"]),
        external: ips(["203.0.113.1"]),
        exclude_label: Some("".into()),
        network_unavailable: true,
        labels: [(EXCLUDE_LABEL, "")].into_iter().collect(),
    };
    assert_eq!((reduced.entries.remove(0), reduced.faults), ((NodeName::from("n1"), Some(expected)), 1));
}

#[test]
fn an_object_without_a_name_or_of_the_wrong_shape_is_unreadable() {
    for object in ["{}", r#"{"metadata":null}"#, r#"{"metadata":{"name":""}}"#, "7", "null", r#"{"metadata":[]}"#, ""] {
        assert!(Services::new(&config()).reduce(object).is_err(), "{object}");
        assert!(Slices::default().reduce(object).is_err(), "{object}");
        assert!(CoreEndpoints::default().reduce(object).is_err(), "{object}");
        assert!(Nodes::new(&config()).reduce(object).is_err(), "{object}");
    }
}

#[test]
fn a_service_with_too_many_addresses_is_truncated_and_reported() {
    let ingress: Vec<Value> = (0..100).map(|at| json!({"ip": format!("10.0.0.{at}")})).collect();
    let object = balancer(json!({}), json!(ingress)).to_string();
    let reduced = Services::new(&config()).reduce(&object).expect("readable");
    assert_eq!(reduced.excess.as_deref(), Some("service d/s has 100 addresses, of which 64 are read"));
    let service = reduced.entries[0].1.as_ref().expect("a load balancer");
    assert_eq!(service.ingress.len(), limits::VIPS);
}

#[test]
fn the_limit_on_addresses_is_that_of_a_service_and_its_status_comes_first() {
    let of = |count: usize, net: u8| (0..count).map(move |at| format!("10.{net}.0.{at}"));
    for (status, external, kept, words) in [
        (40, 40, (40, 24), Some("service d/s has 80 addresses, of which 64 are read")),
        (100, 10, (64, 0), Some("service d/s has 110 addresses, of which 64 are read")),
        (32, 32, (32, 32), None),
    ] {
        let ingress: Vec<Value> = of(status, 0).map(|ip| json!({"ip": ip})).collect();
        let external: Vec<String> = of(external, 1).collect();
        let object = balancer(json!({"externalIPs": external}), json!(ingress)).to_string();
        let reduced = Services::new(&config()).reduce(&object).expect("readable");
        let service = reduced.entries[0].1.as_ref().expect("a load balancer");
        assert_eq!((service.ingress.len(), service.external_ips.len()), kept);
        assert_eq!(reduced.excess.as_deref(), words);
    }
}

#[test]
fn a_node_with_many_addresses_is_read_in_linear_time_and_keeps_64() {
    let address = |at: u32| std::net::Ipv4Addr::from(0x0a00_0000 + at).to_string();
    let all: Vec<String> = (0..100_000).map(address).collect();
    let object = json!({"metadata": {"name": "n1", "annotations": {"example.com/bgp": all.join(",")}}}).to_string();
    let begun = std::time::Instant::now();
    let reduced = Nodes::new(&config()).reduce(&object).expect("readable");
    // A quadratic implementation took seconds.
    assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(reduced.entries[0].1.as_ref().map(|node| node.annotated.len()), Some(limits::NODE_ADDRESSES));
    assert_eq!(reduced.excess.as_deref(), Some("node n1 has 100000 addresses, of which 64 are read"));
}

#[test]
fn the_limit_on_addresses_of_a_node_is_that_of_each_kind() {
    let of = |kind: &str, net: u8| -> Vec<Value> {
        (0..65).map(|at| json!({"type": kind, "address": format!("10.{net}.0.{at}")})).collect()
    };
    let addresses = [of("InternalIP", 0), of("ExternalIP", 1)].concat();
    let object = json!({"metadata": {"name": "n1"}, "status": {"addresses": addresses}}).to_string();
    let reduced = Nodes::new(&config()).reduce(&object).expect("readable");
    let node = reduced.entries[0].1.as_ref().expect("a node");
    assert_eq!((node.internal.len(), node.external.len()), (limits::NODE_ADDRESSES, limits::NODE_ADDRESSES));
    assert_eq!(reduced.excess.as_deref(), Some("node n1 has 130 addresses, of which 128 are read"));
}

#[test]
fn interned_names_are_released_with_their_last_user() {
    let mut names = Names::default();
    let kept: Vec<Arc<str>> = (0..1500).map(|at| names.get(&format!("kept-{at}"))).collect();
    for at in 0..1_000_000 {
        names.get(&format!("fresh-{at}"));
        assert!(names.all.len() <= 2 * kept.len() + FEW_NAMES, "{} names", names.all.len());
    }
    for (at, name) in kept.iter().enumerate() {
        assert!(Arc::ptr_eq(name, &names.get(&format!("kept-{at}"))), "{name} is kept once");
    }
}

#[test]
fn text_from_tenants_becomes_printable_and_short() {
    let host = format!("evil\u{1b}[2J\u{202e}{}", "x".repeat(5000));
    let (service, _) = service(balancer(json!({"loadBalancerClass": "a\nb"}), json!([{"hostname": host}])));
    let service = service.expect("a load balancer");
    assert_eq!(service.class.as_deref(), Some("a"));
    let Some(IngressUnusable::HostName(host)) = service.ingress_unusable else { panic!("a host name") };
    assert!(host.starts_with("evil [2J x") && host.chars().count() == limits::QUOTED, "{host}");
    let long = "x".repeat(256 << 10);
    for (host, kept) in [
        ("n1.example.com", Some("n1.example.com")),
        ("n1\u{1b}[2J", None),
        ("n1\nWARN all is well", None),
        ("n1\u{202e}gpj", None),
        (long.as_str(), None),
        ("", None),
    ] {
        let mut object = balancer(json!({}), json!([]));
        object["metadata"]["annotations"] = json!({"kube-vip.io/vipHost": host});
        let (service, _) = self::service(object);
        assert_eq!(service.expect("a load balancer").hints.kube_vip_host, kept.map(NodeName::from), "{host:.40?}");
    }
}

/// JSON of any shape, in which the names that are read are likely keys.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("LoadBalancer".to_owned()),
        Just("IPv6".to_owned()),
        Just("10.0.0.1".to_owned()),
        any::<String>()
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from)
    ];
    let key = prop_oneof![
        Just("metadata"),
        Just("name"),
        Just("namespace"),
        Just("labels"),
        Just("spec"),
        Just("type"),
        Just("status"),
        Just("loadBalancer"),
        Just("ingress"),
        Just("ip"),
        Just("addressType"),
        Just("endpoints"),
        Just("addresses"),
        Just("conditions"),
        Just("subsets"),
        Just("targetRef"),
        Just("annotations"),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_json_never_panics(object in any_json()) {
        let text = object.to_string();
        let _ = Services::new(&Source { include_external_ips: true, ..config() }).reduce(&text);
        let _ = Slices::default().reduce(&text);
        let _ = CoreEndpoints::default().reduce(&text);
        let _ = Nodes::new(&config()).reduce(&text);
    }
}
