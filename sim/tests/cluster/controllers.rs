//! Tests of what the controllers do with objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use srl_sim::cluster::{Change, Cluster, ClusterOptions};

use crate::support::{LAB, NGINX, lab};

fn service(cluster: &Cluster, name: &str) -> Arc<Value> {
    cluster.get("Service", "default", name).expect("the service")
}

fn vips(cluster: &Cluster, name: &str) -> Vec<String> {
    let service = service(cluster, name);
    let ingress = service["status"]["loadBalancer"]["ingress"].as_array().cloned().unwrap_or_default();
    ingress.iter().map(|entry| entry["ip"].as_str().unwrap_or_default().to_owned()).collect()
}

fn apply_service(cluster: &Cluster, name: &str, metadata: &Value, spec: &Value) {
    let mut object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
    for (part, more) in [("metadata", metadata), ("spec", spec)] {
        for (member, value) in more.as_object().into_iter().flatten() {
            object[part][member] = value.clone();
        }
    }
    cluster.apply(object).expect("a service");
}

fn slices(cluster: &Cluster, service: &str) -> Vec<Arc<Value>> {
    let mine = |slice: &Arc<Value>| slice["metadata"]["labels"]["kubernetes.io/service-name"] == service;
    cluster.list("EndpointSlice").into_iter().filter(mine).collect()
}

/// Counts pods by node.
fn spread(cluster: &Cluster) -> BTreeMap<String, usize> {
    let mut spread = BTreeMap::new();
    for pod in cluster.list("Pod") {
        *spread.entry(pod["spec"]["nodeName"].as_str().unwrap_or("-").to_owned()).or_default() += 1;
    }
    spread
}

fn pod_on(cluster: &Cluster, node: &str) -> String {
    let pods = cluster.list("Pod");
    let pod = pods.iter().find(|pod| pod["spec"]["nodeName"] == node).expect("a pod on that node");
    pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// Returns the conditions of the endpoint on a node: ready, serving, terminating.
fn conditions(cluster: &Cluster, node: &str) -> Vec<[bool; 3]> {
    let slices = slices(cluster, "nginxhello");
    let endpoints = slices.iter().flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default());
    let flag = |endpoint: &Value, name: &str| endpoint["conditions"][name] == true;
    endpoints
        .filter(|endpoint| endpoint["nodeName"] == node)
        .map(|endpoint| ["ready", "serving", "terminating"].map(|name| flag(&endpoint, name)))
        .collect()
}

#[test]
fn the_lab_starts_as_in_the_article() {
    let cluster = lab();
    assert_eq!(vips(&cluster, "nginxhello"), ["1.1.1.100"]);
    let service = service(&cluster, "nginxhello");
    assert_eq!(service["status"]["loadBalancer"]["ingress"][0]["ipMode"], "VIP");
    assert_eq!(service["metadata"]["annotations"]["metallb.io/ip-allocated-from-pool"], "vip-pool");
    assert!(spread(&cluster).values().all(|count| *count == 1) && spread(&cluster).len() == 3);
    let slices = slices(&cluster, "nginxhello");
    assert_eq!(slices.len(), 1);
    let slice = &slices[0];
    assert_eq!(slice["addressType"], "IPv4");
    assert_eq!(slice["ports"], json!([{"name": "http", "port": 80, "protocol": "TCP"}]));
    assert_eq!(
        slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"],
        "endpointslice-controller.k8s.io"
    );
    let endpoint = &slice["endpoints"][0];
    assert_eq!((&endpoint["addresses"], &endpoint["nodeName"]), (&json!(["10.244.0.3"]), &json!("cluster1")));
    assert_eq!(endpoint["conditions"], json!({"ready": true, "serving": true, "terminating": false}));
    assert_eq!(
        (&endpoint["targetRef"]["kind"], &endpoint["targetRef"]["namespace"]),
        (&json!("Pod"), &json!("default"))
    );
    let deployment = cluster.get("Deployment", "default", "nginxhello").expect("the deployment");
    assert_eq!(deployment["status"]["readyReplicas"], 3);
}

#[test]
fn the_same_manifests_give_the_same_objects() {
    let names = |cluster: &Cluster| -> Vec<Value> {
        cluster.list("Pod").iter().map(|pod| pod["metadata"]["name"].clone()).collect()
    };
    assert_eq!(names(&lab()), names(&lab()));
}

#[test]
fn scaling_to_zero_leaves_a_placeholder_slice_of_the_same_name() {
    let cluster = lab();
    let before = slices(&cluster, "nginxhello")[0]["metadata"]["name"].clone();
    cluster.scale("default", "nginxhello", 0).expect("there");
    let after = slices(&cluster, "nginxhello");
    assert_eq!(after.len(), 1);
    assert_eq!((&after[0]["endpoints"], &after[0]["ports"]), (&Value::Null, &Value::Null));
    assert_eq!(after[0]["metadata"]["name"], before);
    assert_eq!(cluster.get("Endpoints", "default", "nginxhello").expect("there").get("subsets"), None);
    cluster.scale("default", "nginxhello", 2).expect("there");
    assert_eq!(slices(&cluster, "nginxhello")[0]["endpoints"].as_array().map(Vec::len), Some(2));
    assert_eq!(slices(&cluster, "nginxhello")[0]["metadata"]["name"], before);
}

#[test]
fn pods_are_added_where_there_are_fewest_and_removed_where_there_are_most() {
    let cluster = lab();
    cluster.scale("default", "nginxhello", 7).expect("there");
    assert_eq!(spread(&cluster).into_values().collect::<Vec<_>>(), [3, 2, 2]);
    cluster.scale("default", "nginxhello", 3).expect("there");
    assert_eq!(spread(&cluster).into_values().collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn cordoned_tainted_and_unselected_nodes_get_no_pods() {
    let cluster = Cluster::new();
    cluster.load(LAB).expect("nodes");
    cluster.patch("Node", "", "cluster1", &json!({"spec": {"unschedulable": true}})).expect("there");
    let taint = json!({"spec": {"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]}});
    cluster.patch("Node", "", "cluster1-m02", &taint).expect("there");
    cluster.load(NGINX).expect("the service");
    assert_eq!(spread(&cluster), BTreeMap::from([("cluster1-m03".to_owned(), 3)]));
    let selector = json!({"spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}});
    cluster.patch("Deployment", "default", "nginxhello", &selector).expect("there");
    assert_eq!(spread(&cluster), BTreeMap::from([("-".to_owned(), 3)]));
    cluster.patch("Node", "", "cluster1-m03", &json!({"metadata": {"labels": {"disk": "ssd"}}})).expect("there");
    assert_eq!(spread(&cluster), BTreeMap::from([("cluster1-m03".to_owned(), 3)]));
}

#[test]
fn an_unready_pod_stays_in_its_slice_as_not_ready() {
    let cluster = lab();
    cluster.set_pod_ready("default", &pod_on(&cluster, "cluster1-m02"), false).expect("there");
    assert_eq!(conditions(&cluster, "cluster1-m02"), [[false, false, false]]);
    let endpoints = cluster.get("Endpoints", "default", "nginxhello").expect("there");
    assert_eq!(endpoints["subsets"][0]["notReadyAddresses"][0]["ip"], "10.244.1.3");
    cluster.set_pod_ready("default", &pod_on(&cluster, "cluster1-m02"), true).expect("there");
    assert_eq!(conditions(&cluster, "cluster1-m02"), [[true, true, false]]);
}

#[test]
fn a_terminating_pod_keeps_serving_and_is_replaced() {
    let cluster = lab();
    let pod = pod_on(&cluster, "cluster1-m03");
    cluster.set_pod_terminating("default", &pod).expect("there");
    assert_eq!(cluster.list("Pod").len(), 4);
    let mut found = conditions(&cluster, "cluster1-m03");
    found.sort_unstable();
    assert_eq!(found, [[false, true, true], [true, true, false]]);
    cluster.delete("Pod", "default", &pod).expect("there");
    assert_eq!(conditions(&cluster, "cluster1-m03"), [[true, true, false]]);
}

#[test]
fn pods_follow_the_readiness_and_deletion_of_their_node() {
    let cluster = lab();
    cluster.set_node_ready("cluster1", false).expect("there");
    assert_eq!(conditions(&cluster, "cluster1"), [[false, false, false]]);
    cluster.set_node_ready("cluster1", true).expect("there");
    assert_eq!(conditions(&cluster, "cluster1"), [[true, true, false]]);
    cluster.delete("Node", "", "cluster1").expect("there");
    assert_eq!(spread(&cluster), BTreeMap::from([("cluster1-m02".to_owned(), 2), ("cluster1-m03".to_owned(), 1)]));
}

#[test]
fn more_than_a_hundred_endpoints_need_several_slices_and_few_change() {
    let cluster = lab();
    cluster.scale("default", "nginxhello", 250).expect("there");
    let sizes = |cluster: &Cluster| -> Vec<usize> {
        let mut sizes: Vec<usize> = slices(cluster, "nginxhello")
            .iter()
            .map(|slice| slice["endpoints"].as_array().map_or(0, Vec::len))
            .collect();
        sizes.sort_unstable();
        sizes
    };
    assert_eq!(sizes(&cluster), [50, 100, 100]);
    let versions = |cluster: &Cluster| -> Vec<Value> {
        slices(cluster, "nginxhello").iter().map(|slice| slice["metadata"]["resourceVersion"].clone()).collect()
    };
    let before = versions(&cluster);
    cluster.set_pod_ready("default", &pod_on(&cluster, "cluster1"), false).expect("there");
    let changed = before.iter().zip(versions(&cluster)).filter(|(old, new)| **old != *new).count();
    assert_eq!(changed, 1);
}

#[test]
fn a_dual_stack_service_has_slices_and_addresses_of_both_families() {
    let cluster = lab();
    let pool = json!({"spec": {"addresses": ["1.1.1.100-1.1.1.200", "2001:db8:1::/120"]}});
    cluster.patch("IPAddressPool", "metallb-system", "vip-pool", &pool).expect("there");
    let spec = json!({"ipFamilyPolicy": "RequireDualStack", "selector": {"app": "nginxhello"}});
    apply_service(&cluster, "dual", &json!({}), &spec);
    assert_eq!(vips(&cluster, "dual"), ["1.1.1.101", "2001:db8:1::"]);
    let families: Vec<Value> = slices(&cluster, "dual").iter().map(|slice| slice["addressType"].clone()).collect();
    assert_eq!(families.len(), 2);
    let six = slices(&cluster, "dual").into_iter().find(|slice| slice["addressType"] == "IPv6").expect("IPv6");
    assert_eq!(six["endpoints"][0]["addresses"], json!(["fd00:10:244::3"]));
    assert_eq!(service(&cluster, "dual")["spec"]["clusterIPs"].as_array().map(Vec::len), Some(2));
}

#[test]
fn named_target_ports_are_resolved_by_the_pod() {
    let cluster = lab();
    let spec =
        json!({"selector": {"app": "nginxhello"}, "ports": [{"name": "web", "port": 8080, "targetPort": "http"}]});
    apply_service(&cluster, "named", &json!({}), &spec);
    assert_eq!(slices(&cluster, "named")[0]["ports"], json!([{"name": "web", "port": 80, "protocol": "TCP"}]));
}

#[test]
fn metallb_assigns_requested_addresses_and_takes_them_back() {
    let cluster = lab();
    apply_service(&cluster, "asked", &json!({}), &json!({"loadBalancerIP": "1.1.1.150"}));
    assert_eq!(vips(&cluster, "asked"), ["1.1.1.150"]);
    let wish = json!({"annotations": {"metallb.io/loadBalancerIPs": "1.1.1.151"}});
    apply_service(&cluster, "annotated", &wish, &json!({}));
    assert_eq!(vips(&cluster, "annotated"), ["1.1.1.151"]);
    apply_service(&cluster, "taken", &json!({}), &json!({"loadBalancerIP": "1.1.1.100"}));
    assert!(vips(&cluster, "taken").is_empty());
    cluster.delete("Service", "default", "nginxhello").expect("there");
    assert_eq!(vips(&cluster, "taken"), ["1.1.1.100"]);
    apply_service(&cluster, "outside", &json!({}), &json!({"loadBalancerIP": "9.9.9.9"}));
    assert!(vips(&cluster, "outside").is_empty());
    cluster.patch("Service", "default", "asked", &json!({"spec": {"type": "ClusterIP"}})).expect("there");
    assert!(vips(&cluster, "asked").is_empty());
    apply_service(&cluster, "other-class", &json!({}), &json!({"loadBalancerClass": "example.org/x"}));
    assert!(vips(&cluster, "other-class").is_empty());
}

#[test]
fn metallb_shares_an_address_only_by_the_rules() {
    let cluster = lab();
    let shared = |port: u16| {
        (
            json!({"annotations": {"metallb.io/allow-shared-ip": "key"}}),
            json!({"loadBalancerIP": "1.1.1.120", "ports": [{"port": port}], "selector": {"app": "x"}}),
        )
    };
    for (name, port) in [("first", 80), ("second", 443), ("clash", 443)] {
        let (metadata, spec) = shared(port);
        apply_service(&cluster, name, &metadata, &spec);
    }
    assert_eq!(
        (vips(&cluster, "first"), vips(&cluster, "second")),
        (vec!["1.1.1.120".into()], vec!["1.1.1.120".into()])
    );
    assert!(vips(&cluster, "clash").is_empty());
}

#[test]
fn pool_options_auto_assign_and_avoid_buggy_ips_are_respected() {
    let cluster = Cluster::new();
    let pool = |name: &str, spec: Value| {
        let metadata = json!({"name": name, "namespace": "metallb-system"});
        let pool =
            json!({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": metadata, "spec": spec});
        cluster.apply(pool).expect("a pool");
    };
    pool("a-manual", json!({"addresses": ["10.0.0.0/30"], "autoAssign": false}));
    pool("b-buggy", json!({"addresses": ["10.1.0.0/30"], "avoidBuggyIPs": true}));
    apply_service(&cluster, "any", &json!({}), &json!({}));
    assert_eq!(vips(&cluster, "any"), ["10.1.0.1"]);
    let named = json!({"annotations": {"metallb.io/address-pool": "a-manual"}});
    apply_service(&cluster, "named", &named, &json!({}));
    assert_eq!(vips(&cluster, "named"), ["10.0.0.0"]);
    cluster.delete("IPAddressPool", "metallb-system", "b-buggy").expect("there");
    assert!(vips(&cluster, "any").is_empty());
}

#[test]
fn addresses_are_also_assigned_from_cilium_calico_and_plain_ranges() {
    let cilium = Cluster::new();
    cilium
        .load(
            "{apiVersion: cilium.io/v2alpha1, kind: CiliumLoadBalancerIPPool, metadata: {name: p}, \
               spec: {allowFirstLastIPs: 'No', blocks: [{cidr: 10.9.0.0/29}]}}",
        )
        .expect("a pool");
    apply_service(&cilium, "web", &json!({}), &json!({"loadBalancerClass": "io.cilium/bgp-control-plane"}));
    assert_eq!(vips(&cilium, "web"), ["10.9.0.1"]);
    let calico = Cluster::new();
    calico
        .load(
            "{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: p}, \
               spec: {cidr: 10.8.0.0/24, allowedUses: [LoadBalancer]}}",
        )
        .expect("a pool");
    apply_service(&calico, "web", &json!({}), &json!({}));
    assert_eq!(vips(&calico, "web"), ["10.8.0.0"]);
    let options = ClusterOptions { vip_ranges: vec!["10.7.0.5-10.7.0.9".to_owned()], ..ClusterOptions::default() };
    let plain = Cluster::with_options(options);
    apply_service(&plain, "web", &json!({}), &json!({}));
    assert_eq!(vips(&plain, "web"), ["10.7.0.5"]);
}

#[test]
fn an_address_written_by_someone_else_is_left_alone() {
    let cluster = lab();
    let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "theirs"},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
        "status": {"loadBalancer": {"ingress": [{"hostname": "lb.example.org"}, {"ip": "8.8.8.8"}]}}});
    cluster.apply(object).expect("a service");
    assert_eq!(vips(&cluster, "theirs"), ["", "8.8.8.8"]);
}

#[test]
fn a_host_network_daemon_set_has_a_pod_with_the_address_of_every_node() {
    let cluster = lab();
    cluster
        .load(
            "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: speaker, namespace: metallb-system}, spec: \
               {selector: {matchLabels: {app: speaker}}, template: {metadata: {labels: {app: speaker}}, \
               spec: {hostNetwork: true, containers: [{name: speaker, image: speaker}]}}}}",
        )
        .expect("a daemon set");
    let speakers = || -> Vec<Value> {
        let pods = cluster.list("Pod").into_iter();
        pods.filter(|pod| pod["metadata"]["namespace"] == "metallb-system")
            .map(|pod| pod["status"]["podIP"].clone())
            .collect()
    };
    let mut found = speakers();
    found.sort_by_key(Value::to_string);
    assert_eq!(found, ["192.168.49.2", "192.168.49.3", "192.168.49.4"]);
    cluster.apply(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "late"}})).expect("a node");
    assert_eq!(speakers().len(), 4);
}

#[test]
fn deleting_a_namespace_deletes_its_objects() {
    let cluster = lab();
    let nginx = NGINX.replace("metadata: {name: nginxhello}", "metadata: {name: nginxhello, namespace: web}");
    cluster.load(&nginx).expect("the service");
    assert!(cluster.get("Service", "web", "nginxhello").is_some());
    cluster.delete("Namespace", "", "web").expect("there");
    for kind in ["Pod", "Service", "Deployment", "ReplicaSet", "EndpointSlice", "Endpoints"] {
        assert!(cluster.list(kind).iter().all(|object| object["metadata"]["namespace"] != "web"), "{kind}");
    }
}

#[test]
fn subscribers_receive_every_object_a_write_changes() {
    let cluster = lab();
    let mut notices = cluster.subscribe();
    cluster.delete("Service", "default", "nginxhello").expect("there");
    let mut heard = Vec::new();
    while let Ok(notice) = notices.try_recv() {
        assert_eq!(notice.change, Change::Deleted);
        heard.push(notice.kind.to_string());
    }
    heard.sort();
    assert_eq!(heard, ["EndpointSlice", "Endpoints", "Service"]);
    cluster.apply((*cluster.get("Node", "", "cluster1").expect("there")).clone()).expect("the same again");
    assert!(notices.try_recv().is_err());
}

#[test]
fn invalid_manifests_are_refused_with_the_reason() {
    let cluster = Cluster::new();
    for (manifest, said) in [
        ("a: [", "the manifest cannot be read"),
        ("{apiVersion: v9, kind: Gizmo, metadata: {name: a}}", "no matches for kind \"Gizmo\" in version \"v9\""),
        ("{apiVersion: v1, kind: Service, metadata: {name: A_b}}", "Service \"A_b\" is invalid: metadata.name"),
        ("{apiVersion: v1, kind: Service, metadata: 7}", "the object has no metadata"),
    ] {
        let error = cluster.load(manifest).expect_err(manifest).to_string();
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn many_objects_load_and_list_quickly_without_controllers() {
    let cluster = Cluster::new();
    let slice = |at: usize| {
        let endpoints: Vec<Value> = (0..10)
            .map(|pod| json!({"addresses": [format!("10.{}.{}.{pod}", at / 250, at % 250)], "nodeName": "n"}))
            .collect();
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": format!("s{at}-x"), "labels": {"kubernetes.io/service-name": format!("s{at}")}},
            "endpoints": endpoints})
    };
    let service = |at: usize| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("s{at}")},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "selector": {"app": "x"}}})
    };
    let count = 1_000;
    let objects = (0..count).flat_map(|at| [service(at), slice(at)]);
    assert_eq!(cluster.bulk_load(objects).expect("valid objects"), 2 * count);
    assert_eq!(cluster.list("EndpointSlice").len(), count + slices(&cluster, "kubernetes").len());
    assert!(vips(&cluster, "s7").is_empty());
}

#[test]
fn metallb_configured_by_config_map_assigns_addresses_from_it() {
    let cluster = Cluster::new();
    let config = "address-pools:\n- name: default\n  protocol: bgp\n  avoid-buggy-ips: true\n  \
                  addresses: [192.168.100.0/24]\n";
    let map = |config: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config", "namespace": "metallb-system"},
            "data": {"config": config}})
    };
    apply_service(&cluster, "early", &json!({}), &json!({}));
    apply_service(&cluster, "asking", &json!({}), &json!({"loadBalancerIP": "192.168.100.10"}));
    assert_eq!(vips(&cluster, "asking"), [""; 0]);
    cluster.apply(map("- nonsense")).expect("any text can be in it");
    assert_eq!(vips(&cluster, "asking"), [""; 0]);
    cluster.apply(map(config)).expect("the configuration");
    assert_eq!(vips(&cluster, "asking"), ["192.168.100.10"]);
    assert_eq!(vips(&cluster, "early"), ["192.168.100.1"], "the first that is not buggy");
}

#[test]
fn cluster_scoped_objects_are_found_whatever_namespace_is_given() {
    let cluster = lab();
    assert!(cluster.get("Node", "default", "cluster1").is_some());
    cluster.patch("Node", "default", "cluster1", &json!({"metadata": {"labels": {"a": "b"}}})).expect("patched");
    cluster.delete("Node", "default", "cluster1").expect("deleted");
    assert!(cluster.get("Node", "", "cluster1").is_none());
}
