//! The kinds of objects the API serves: the built-in ones, the custom resources of common speakers, and those that
//! CustomResourceDefinitions add.

use std::sync::Arc;

use serde_json::Value;

use super::error::ApiError;
use super::json::{flag, items, text};

/// Index of a resource in the [`Registry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ResourceId(pub(crate) usize);

/// A column of kubectl's table, read from the object by a JSON pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) pointer: String,
    pub(crate) priority: i64,
}

/// One kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) group: Arc<str>,
    /// Versions, the preferred one first. All show the same objects.
    pub(crate) versions: Vec<String>,
    pub(crate) kind: Arc<str>,
    pub(crate) plural: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) namespaced: bool,
    pub(crate) status: bool,
    pub(crate) scale: bool,
    /// Whether a CRD defines it: no strategic merge, and list items carry their kind.
    pub(crate) custom: bool,
    pub(crate) in_all: bool,
    pub(crate) columns: Vec<Column>,
}

impl Resource {
    /// Returns the qualified name as in errors: `deployments.apps`.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Returns the apiVersion, such as `apps/v1`.
    pub(crate) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// Returns whether the server counts the changes of the object's specification.
    pub(crate) fn has_generation(&self) -> bool {
        self.custom
            || matches!(
                &*self.group,
                "apps"
                    | "discovery.k8s.io"
                    | "networking.k8s.io"
                    | "admissionregistration.k8s.io"
                    | "apiextensions.k8s.io"
            )
    }

    /// Returns whether objects keep the status a client creates them with, as nodes registered by kubelets do.
    pub(crate) fn keeps_status_on_create(&self) -> bool {
        !self.status || &*self.kind == "Node"
    }
}

const STATUS: u8 = 1;
const SCALE: u8 = 2;
const ALL: u8 = 4;

type Builtin = (&'static str, &'static str, &'static str, &'static str, bool, u8);

/// Kind, plural, versions, short names, namespaced, flags.
const CORE: &[Builtin] = &[
    ("Namespace", "namespaces", "v1", "ns", false, STATUS),
    ("Node", "nodes", "v1", "no", false, STATUS),
    ("Pod", "pods", "v1", "po", true, STATUS | ALL),
    ("Service", "services", "v1", "svc", true, STATUS | ALL),
    ("Endpoints", "endpoints", "v1", "ep", true, 0),
    ("Event", "events", "v1", "ev", true, 0),
    ("ConfigMap", "configmaps", "v1", "cm", true, 0),
    ("Secret", "secrets", "v1", "", true, 0),
    ("ServiceAccount", "serviceaccounts", "v1", "sa", true, 0),
    ("PersistentVolumeClaim", "persistentvolumeclaims", "v1", "pvc", true, STATUS),
];
const EVENTS: &[Builtin] = &[("Event", "events", "v1", "", true, 0)];
const APPS: &[Builtin] = &[
    ("Deployment", "deployments", "v1", "deploy", true, STATUS | SCALE | ALL),
    ("ReplicaSet", "replicasets", "v1", "rs", true, STATUS | SCALE | ALL),
    ("DaemonSet", "daemonsets", "v1", "ds", true, STATUS | ALL),
];
const DISCOVERY: &[Builtin] = &[("EndpointSlice", "endpointslices", "v1", "", true, 0)];
const RBAC: &[Builtin] = &[
    ("Role", "roles", "v1", "", true, 0),
    ("RoleBinding", "rolebindings", "v1", "", true, 0),
    ("ClusterRole", "clusterroles", "v1", "", false, 0),
    ("ClusterRoleBinding", "clusterrolebindings", "v1", "", false, 0),
];
const COORDINATION: &[Builtin] = &[("Lease", "leases", "v1", "", true, 0)];
const NETWORKING: &[Builtin] = &[("NetworkPolicy", "networkpolicies", "v1", "netpol", true, 0)];
const ADMISSION: &[Builtin] = &[
    ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", "v1", "", false, 0),
    ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", "v1", "", false, 0),
];
const EXTENSIONS: &[Builtin] =
    &[("CustomResourceDefinition", "customresourcedefinitions", "v1", "crd crds", false, STATUS)];
const METALLB: &[Builtin] = &[
    ("IPAddressPool", "ipaddresspools", "v1beta1", "", true, STATUS),
    ("BGPPeer", "bgppeers", "v1beta2 v1beta1", "", true, STATUS),
    ("BGPAdvertisement", "bgpadvertisements", "v1beta1", "", true, STATUS),
    ("L2Advertisement", "l2advertisements", "v1beta1", "", true, STATUS),
    ("BFDProfile", "bfdprofiles", "v1beta1", "", true, STATUS),
    ("Community", "communities", "v1beta1", "", true, STATUS),
    ("ServiceBGPStatus", "servicebgpstatuses", "v1beta1", "", true, STATUS),
    ("ServiceL2Status", "servicel2statuses", "v1beta1", "", true, STATUS),
    ("ConfigurationState", "configurationstates", "v1beta1", "", true, STATUS),
];
const FRR_K8S: &[Builtin] = &[
    ("FRRConfiguration", "frrconfigurations", "v1beta1", "", true, STATUS),
    ("FRRNodeState", "frrnodestates", "v1beta1", "", false, STATUS),
    ("BGPSessionState", "bgpsessionstates", "v1beta1", "", true, STATUS),
];
const CILIUM: &[Builtin] = &[
    ("CiliumLoadBalancerIPPool", "ciliumloadbalancerippools", "v2 v2alpha1", "ippools ippool lbippool", false, STATUS),
    ("CiliumBGPClusterConfig", "ciliumbgpclusterconfigs", "v2 v2alpha1", "cbgpcluster", false, STATUS),
    ("CiliumBGPPeerConfig", "ciliumbgppeerconfigs", "v2 v2alpha1", "cbgppeer", false, STATUS),
    ("CiliumBGPAdvertisement", "ciliumbgpadvertisements", "v2 v2alpha1", "cbgpadvert", false, 0),
    ("CiliumBGPNodeConfig", "ciliumbgpnodeconfigs", "v2 v2alpha1", "cbgpnode", false, STATUS),
    ("CiliumBGPNodeConfigOverride", "ciliumbgpnodeconfigoverrides", "v2 v2alpha1", "cbgpnodeoverride", false, 0),
    ("CiliumBGPPeeringPolicy", "ciliumbgppeeringpolicies", "v2alpha1", "bgpp", false, 0),
    ("CiliumNode", "ciliumnodes", "v2", "cn", false, STATUS),
    ("CiliumL2AnnouncementPolicy", "ciliuml2announcementpolicies", "v2alpha1", "l2announcement", false, STATUS),
];
const CALICO_V3: &[Builtin] = &[
    ("IPPool", "ippools", "v3", "", false, 0),
    ("BGPConfiguration", "bgpconfigurations", "v3", "", false, 0),
    ("BGPPeer", "bgppeers", "v3", "", false, 0),
    ("BGPFilter", "bgpfilters", "v3", "", false, 0),
    ("CalicoNodeStatus", "caliconodestatuses", "v3", "", false, STATUS),
];
const CALICO_CRD: &[Builtin] = &[
    ("IPPool", "ippools", "v1", "", false, 0),
    ("BGPConfiguration", "bgpconfigurations", "v1", "", false, 0),
    ("BGPPeer", "bgppeers", "v1", "", false, 0),
    ("BGPFilter", "bgpfilters", "v1", "", false, 0),
    ("CalicoNodeStatus", "caliconodestatuses", "v1", "", false, STATUS),
];

/// Group, its kinds, and whether CRDs define them.
const GROUPS: &[(&str, &[Builtin], bool)] = &[
    ("", CORE, false),
    ("apps", APPS, false),
    ("events.k8s.io", EVENTS, false),
    ("discovery.k8s.io", DISCOVERY, false),
    ("rbac.authorization.k8s.io", RBAC, false),
    ("coordination.k8s.io", COORDINATION, false),
    ("networking.k8s.io", NETWORKING, false),
    ("admissionregistration.k8s.io", ADMISSION, false),
    ("apiextensions.k8s.io", EXTENSIONS, false),
    ("metallb.io", METALLB, true),
    ("frrk8s.metallb.io", FRR_K8S, true),
    ("cilium.io", CILIUM, true),
    ("projectcalico.org", CALICO_V3, true),
    ("crd.projectcalico.org", CALICO_CRD, true),
];

/// Kind, column and JSON pointer of the columns that the speakers' CRDs define.
const COLUMNS: &[(&str, &str, &str)] = &[
    ("IPAddressPool", "Auto Assign", "/spec/autoAssign"),
    ("IPAddressPool", "Avoid Buggy IPs", "/spec/avoidBuggyIPs"),
    ("IPAddressPool", "Addresses", "/spec/addresses"),
    ("BGPPeer", "Address", "/spec/peerAddress"),
    ("BGPPeer", "ASN", "/spec/peerASN"),
    ("BGPPeer", "BFD Profile", "/spec/bfdProfile"),
    ("BGPPeer", "Multi Hops", "/spec/ebgpMultiHop"),
    ("BGPAdvertisement", "IPAddressPools", "/spec/ipAddressPools"),
    ("BGPAdvertisement", "IPAddressPool Selectors", "/spec/ipAddressPoolSelectors"),
    ("BGPAdvertisement", "Peers", "/spec/peers"),
    ("ServiceBGPStatus", "Node", "/status/node"),
    ("ServiceBGPStatus", "Service Name", "/status/serviceName"),
    ("ServiceBGPStatus", "Service Namespace", "/status/serviceNamespace"),
    ("BGPSessionState", "Node", "/status/node"),
    ("BGPSessionState", "Peer", "/status/peer"),
    ("BGPSessionState", "BGP", "/status/bgpStatus"),
    ("BGPSessionState", "BFD", "/status/bfdStatus"),
    ("CiliumLoadBalancerIPPool", "Disabled", "/spec/disabled"),
];

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn builtin(group: &str, custom: bool, row: &Builtin) -> Resource {
    let (kind, plural, versions, short_names, namespaced, flags) = *row;
    let columns = COLUMNS.iter().filter(|(of, ..)| custom && *of == kind && group != "projectcalico.org");
    Resource {
        group: group.into(),
        versions: words(versions),
        kind: kind.into(),
        plural: plural.to_owned(),
        short_names: words(short_names),
        namespaced,
        status: flags & STATUS != 0,
        scale: flags & SCALE != 0,
        custom,
        in_all: flags & ALL != 0,
        columns: columns
            .map(|(_, name, pointer)| Column { name: (*name).into(), pointer: (*pointer).into(), priority: 0 })
            .collect(),
    }
}

/// All kinds, in the order of registration.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    resources: Vec<Resource>,
}

impl Registry {
    pub(crate) fn new() -> Self {
        let rows = GROUPS.iter().flat_map(|(group, rows, custom)| rows.iter().map(move |row| (group, custom, row)));
        Self { resources: rows.map(|(group, custom, row)| builtin(group, *custom, row)).collect() }
    }

    pub(crate) fn get(&self, id: ResourceId) -> &Resource {
        &self.resources[id.0]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ResourceId, &Resource)> {
        self.resources.iter().enumerate().map(|(at, resource)| (ResourceId(at), resource))
    }

    pub(crate) fn len(&self) -> usize {
        self.resources.len()
    }

    /// Finds a resource by the elements of a path.
    pub(crate) fn by_path(&self, group: &str, version: &str, plural: &str) -> Option<ResourceId> {
        let hit = |r: &Resource| &*r.group == group && r.plural == plural && r.versions.iter().any(|v| v == version);
        self.iter().find(|(_, resource)| hit(resource)).map(|(id, _)| id)
    }

    /// Finds the resource of a manifest.
    pub(crate) fn by_manifest(&self, object: &Value) -> Result<ResourceId, ApiError> {
        let (api_version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let hit = |r: &Resource| &*r.group == group && &*r.kind == kind && r.versions.iter().any(|v| v == version);
        self.iter()
            .find(|(_, resource)| hit(resource))
            .map(|(id, _)| id)
            .ok_or_else(|| ApiError::UnknownKind { kind: kind.to_owned(), version: api_version.to_owned() })
    }

    /// Finds a resource by a name as a person writes it: `Service`, `services`, `svc`, `BGPPeer.metallb.io`,
    /// `bgppeers.metallb.io`. If several groups have the kind, returns the one registered first.
    pub(crate) fn by_name(&self, name: &str) -> Option<ResourceId> {
        let (head, group) = name.split_once('.').map_or((name, None), |(head, group)| (head, Some(group)));
        let hit = |r: &Resource| {
            let named = r.kind.eq_ignore_ascii_case(head) || r.plural.eq_ignore_ascii_case(head);
            (named || r.short_names.iter().any(|short| short == head)) && group.is_none_or(|group| *group == *r.group)
        };
        self.iter().find(|(_, resource)| hit(resource)).map(|(id, _)| id)
    }

    /// Registers the resource of a CustomResourceDefinition. Returns true if it is new and needs a collection.
    pub(crate) fn define(&mut self, definition: &Value) -> bool {
        let resource = from_definition(definition);
        if resource.versions.is_empty() || resource.plural.is_empty() {
            return false;
        }
        let same = |r: &&mut Resource| r.group == resource.group && r.plural == resource.plural;
        match self.resources.iter_mut().find(same) {
            Some(known) => {
                *known = resource;
                false
            }
            None => {
                self.resources.push(resource);
                true
            }
        }
    }
}

fn from_definition(definition: &Value) -> Resource {
    let served: Vec<&Value> = items(definition, "/spec/versions").iter().filter(|v| flag(v, "/served")).collect();
    let first = served.first().copied().unwrap_or(&Value::Null);
    let columns = items(first, "/additionalPrinterColumns").iter().map(|column| Column {
        name: text(column, "/name").to_owned(),
        pointer: text(column, "/jsonPath").replace('.', "/"),
        priority: super::json::int(column, "/priority").unwrap_or_default(),
    });
    let names = items(definition, "/spec/names/shortNames").iter().filter_map(Value::as_str);
    Resource {
        group: text(definition, "/spec/group").into(),
        versions: served.iter().map(|version| text(version, "/name").to_owned()).collect(),
        kind: text(definition, "/spec/names/kind").into(),
        plural: text(definition, "/spec/names/plural").to_owned(),
        short_names: names.map(str::to_owned).collect(),
        namespaced: text(definition, "/spec/scope") == "Namespaced",
        status: first.pointer("/subresources/status").is_some(),
        scale: false,
        custom: true,
        in_all: false,
        columns: columns.filter(|column| column.name != "Age").collect(),
    }
}
