use super::*;

pub(crate) fn schema() -> Arc<Schema> {
    let yang = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../yang");
    Schema::load(&[yang], &["k8s-services".to_owned()]).expect("the schema loads")
}

fn find(schema: &Schema, path: &str) -> NodeId {
    schema.resolve(&path.parse().expect("a path")).expect("a node").node()
}

#[test]
fn keys_are_ordered_by_their_definition_not_by_the_key_statement() {
    let schema = schema();
    let list = find(&schema, "/network-instance/route-table/ipv4-unicast/route");
    let keys: Vec<_> = schema.keys(list).iter().map(|key| &*schema.node(*key).name).collect();
    assert_eq!(keys, ["ipv4-prefix", "id", "route-type", "route-owner", "origin-network-instance"]);
}

#[test]
fn types_are_resolved_through_typedefs() {
    let schema = schema();
    let kind = |path| schema.leaf(find(&schema, path)).expect("a leaf").kind.clone();
    assert_eq!(kind("/network-instance/route-table/next-hop-group/index"), LeafType::Unsigned(64));
    assert_eq!(kind("/network-instance/protocols/bgp/neighbor/peer-as"), LeafType::Unsigned(32));
    assert_eq!(kind("/network-instance/type"), LeafType::Identity);
    let LeafType::Enumeration(names) = kind("/k8s-services/admin-state") else { panic!("an enumeration") };
    assert_eq!(names, ["enable", "disable"]);
}

#[test]
fn an_augmenting_module_makes_a_module_boundary() {
    let schema = schema();
    let bgp = find(&schema, "/network-instance/protocols/bgp");
    let protocols = find(&schema, "/network-instance/protocols");
    assert!(schema.crosses_module(protocols, bgp));
    assert_eq!(&*schema.node(bgp).module, "srl_nokia-bgp");
    assert!(schema.is_native(bgp) && !schema.is_native(find(&schema, "/k8s-services")));
}

#[test]
fn ages_follow_from_typedefs_and_importance_from_extensions() {
    let schema = schema();
    let route = "/network-instance/route-table/ipv4-unicast/route";
    let leaf = find(&schema, &format!("{route}/last-app-update"));
    assert!(schema.leaf(leaf).is_some_and(LeafInfo::shows_age));
    assert_eq!(schema.node(find(&schema, &format!("{route}/active"))).importance, Importance::High);
    let clock = find(&schema, "/system/information/current-datetime");
    assert_eq!(schema.node(clock).sample_seconds, Some(1));
}

#[test]
fn names_with_underscores_resolve_to_nodes_with_hyphens() {
    let schema = schema();
    let path = crate::path::Path::from_js(".k8s_services.cluster{.name==\"c1\"}.oper_state").expect("a path");
    assert!(schema.resolve(&path).is_ok());
}

#[test]
fn an_unknown_element_is_an_error_that_lists_the_options() {
    let schema = schema();
    let refusal = schema.resolve(&"/system/state".parse().expect("a path")).expect_err("unknown");
    assert!(refusal.message.starts_with("Path not valid - unknown element 'state'. Options are ["), "{refusal}");
    assert!(refusal.message.contains("information"), "{refusal}");
}

#[test]
fn a_missing_module_is_named_in_the_error() {
    let error = Schema::load(&[], &["no-such-module".to_owned()]).expect_err("not there");
    assert_eq!(error.to_string(), "cannot load YANG module 'no-such-module'");
}

#[test]
fn an_application_can_augment_a_native_tree_with_types_of_the_switch() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = r#"
module static-routes-ndk {
  yang-version 1.1;
  namespace "urn:srl_ndk_apps/static-routes-ndk";
  prefix static-routes-ndk;
  import srl_nokia-network-instance { prefix srl_nokia-netinst; }
  import srl_nokia-common { prefix srl_nokia-comm; }
  import srl_nokia-extensions { prefix srl_nokia-ext; }
  augment "/srl_nokia-netinst:network-instance" {
    container static-routes-ndk {
      list route {
        key "prefix";
        leaf prefix { type srl_nokia-comm:ip-prefix; }
        leaf admin-state { type srl_nokia-comm:admin-state; default "disable"; srl_nokia-ext:show-importance "high"; }
        leaf probes { config false; type srl_nokia-comm:zero-based-counter64; }
      }
    }
  }
}"#;
    std::fs::write(folder.path().join("static-routes-ndk.yang"), text).expect("a module");
    let schema = Schema::load(&[folder.path().to_owned()], &["static-routes-ndk".to_owned()]).expect("it loads");
    let route = find(&schema, "/network-instance/static-routes-ndk/route");
    assert!(!schema.is_native(route));
    let child = |name| schema.child(route, name).expect("a leaf");
    let probes = schema.leaf(child("probes")).expect("a leaf");
    assert_eq!((&probes.kind, probes.restricted), (&LeafType::Unsigned(64), false));
    assert_eq!(schema.node(child("admin-state")).importance, Importance::High);
    assert_eq!(schema.leaf(child("admin-state")).and_then(|it| it.default.as_deref()), Some("disable"));
    assert!(schema.leaf(child("prefix")).is_some_and(|it| it.restricted));
}

#[test]
fn an_invalid_module_is_named_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("broken.yang"), "module broken { nonsense; }").expect("a module");
    let error = Schema::load(&[folder.path().to_owned()], &["broken".to_owned()]).expect_err("it is wrong");
    assert!(error.to_string().contains("'broken'"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}
