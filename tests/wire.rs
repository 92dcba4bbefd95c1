//! Compares what `proto/` compiles to with the published interfaces: `tests/wire/*.tsv` list every message, field
//! number, type, label, oneof, enumeration value and RPC of NDK 0.5.0 and gNMI 0.10.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto, ServiceDescriptorProto,
};

const NDK: &str = include_str!("wire/ndk-0.5.0.tsv");
const GNMI: &str = include_str!("wire/gnmi.tsv");

/// What the agent and the emulator use. An RPC includes its messages.
const USED: &[&str] = &[
    "rpc\tsrlinux.sdk.SdkMgrService/AgentRegister",
    "rpc\tsrlinux.sdk.SdkMgrService/AgentUnRegister",
    "rpc\tsrlinux.sdk.SdkMgrService/KeepAlive",
    "rpc\tsrlinux.sdk.SdkMgrService/NotificationRegister",
    "rpc\tsrlinux.sdk.SdkMgrService/NotificationQuery",
    "rpc\tsrlinux.sdk.SdkMgrService/GetAppId",
    "rpc\tsrlinux.sdk.SdkNotificationService/NotificationStream",
    "rpc\tsrlinux.sdk.SdkMgrConfigService/AcknowledgeConfig",
    "rpc\tsrlinux.sdk.SdkMgrTelemetryService/TelemetryAddOrUpdate",
    "rpc\tsrlinux.sdk.SdkMgrTelemetryService/TelemetryDelete",
    "rpc\tsrlinux.sdk.SdkMgrRouteService/RouteAddOrUpdate",
    "rpc\tsrlinux.sdk.SdkMgrRouteService/RouteDelete",
    "rpc\tsrlinux.sdk.SdkMgrRouteService/SyncStart",
    "rpc\tsrlinux.sdk.SdkMgrRouteService/SyncEnd",
    "rpc\tsrlinux.sdk.SdkMgrNextHopGroupService/NextHopGroupAddOrUpdate",
    "rpc\tsrlinux.sdk.SdkMgrNextHopGroupService/NextHopGroupDelete",
    "rpc\tsrlinux.sdk.SdkMgrNextHopGroupService/SyncStart",
    "rpc\tsrlinux.sdk.SdkMgrNextHopGroupService/SyncEnd",
    "field\tNotification.interface\t10",
    "field\tNotification.network_instance\t11",
    "field\tNotification.lldp_neighbor\t12",
    "field\tNotification.config\t13",
    "field\tNotification.bfd_session\t14",
    "field\tNotification.route\t15",
    "field\tNotification.app_id\t16",
    "field\tNotification.nexthop_group\t17",
    "enum\tSdkMgrOperation.SDK_MGR_OPERATION_CREATE\t0",
    "enum\tSdkMgrOperation.SDK_MGR_OPERATION_CREATE_OR_UPDATE\t3",
    "rpc\tgnmi.gNMI/Capabilities",
    "rpc\tgnmi.gNMI/Get",
    "rpc\tgnmi.gNMI/Set",
    "rpc\tgnmi.gNMI/Subscribe",
    "field\tSubscriptionList.updates_only\t9",
    "field\tTypedValue.json_ietf_val\t11",
    "enum\tEncoding.JSON_IETF\t4",
    "enum\tSubscriptionMode.ON_CHANGE\t1",
];

/// The way a table names things.
#[derive(Clone, Copy)]
struct Table {
    /// Whether the first column is the file; otherwise it is the package.
    by_file: bool,
    /// Whether types of the file's own package carry its name.
    qualified: bool,
}

#[test]
fn the_ndk_protobuf_matches_the_published_one() {
    let files = |file: &FileDescriptorProto| file.package() == "srlinux.sdk";
    compare(NDK, &compiled(files, Table { by_file: true, qualified: false }));
}

#[test]
fn the_gnmi_protobuf_matches_the_published_one() {
    let files = |file: &FileDescriptorProto| matches!(file.package(), "gnmi" | "gnmi_ext");
    compare(GNMI, &compiled(files, Table { by_file: false, qualified: true }));
}

#[test]
fn every_message_and_field_in_use_is_compiled() {
    let ndk = compiled(|file| file.package() == "srlinux.sdk", Table { by_file: true, qualified: false });
    let gnmi = compiled(|file| file.package() == "gnmi", Table { by_file: false, qualified: true });
    let missing: Vec<_> = USED
        .iter()
        .filter(|used| !ndk.iter().chain(&gnmi).any(|line| line.split_once('\t').is_some_and(|(_, it)| is(it, used))))
        .collect();
    assert!(missing.is_empty(), "missing: {missing:#?}");
}

/// Whether a line, without its first column, is about `used`.
fn is(line: &str, used: &str) -> bool {
    line.strip_prefix(used).is_some_and(|rest| rest.starts_with('\t'))
}

fn compare(table: &str, compiled: &BTreeSet<String>) {
    let published: BTreeSet<String> = table.lines().map(str::to_owned).collect();
    assert!(published.len() > 100, "the table is there");
    let missing: Vec<_> = published.difference(compiled).collect();
    let invented: Vec<_> = compiled.difference(&published).collect();
    assert!(missing.is_empty() && invented.is_empty(), "missing: {missing:#?}\nnot published: {invented:#?}");
}

/// Returns the compiled descriptors as lines of a table.
fn compiled(wanted: impl Fn(&FileDescriptorProto) -> bool, table: Table) -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(srl_proto::DESCRIPTORS).expect("descriptors");
    let mut lines = BTreeSet::new();
    for file in set.file.iter().filter(|file| wanted(file)) {
        let mut lister = Lister { file, table, lines: &mut lines };
        file.message_type.iter().for_each(|message| lister.message("", message));
        file.enum_type.iter().for_each(|enumeration| lister.enumeration("", enumeration));
        file.service.iter().for_each(|service| lister.service(service));
    }
    lines
}

struct Lister<'a> {
    file: &'a FileDescriptorProto,
    table: Table,
    lines: &'a mut BTreeSet<String>,
}

impl Lister<'_> {
    fn line(&mut self, kind: &str, name: &str, number: &str, what: &str) {
        let place = if self.table.by_file { self.file.name() } else { self.file.package() };
        self.lines.insert(format!("{place}\t{kind}\t{name}\t{number}\t{what}"));
    }

    fn message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}{}", message.name());
        if message.field.is_empty() {
            self.line("message", &name, "-", "(empty)");
        }
        for field in &message.field {
            let what = self.field(message, field);
            self.line("field", &format!("{name}.{}", field.name()), &field.number().to_string(), &what);
        }
        let scope = format!("{name}.");
        message.nested_type.iter().for_each(|nested| self.message(&scope, nested));
        message.enum_type.iter().for_each(|enumeration| self.enumeration(&scope, enumeration));
    }

    fn field(&self, message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
        let mut what = if field.label() == Label::Repeated { "repeated ".to_owned() } else { String::new() };
        what += &match field.r#type() {
            Type::Message | Type::Enum => self.type_name(field.type_name()),
            scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
        };
        if let Some(oneof) = field.oneof_index.and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?)) {
            what += &format!(" oneof={}", oneof.name());
        }
        if field.options.as_ref().is_some_and(|options| options.deprecated()) {
            what += " deprecated";
        }
        what
    }

    fn type_name(&self, name: &str) -> String {
        let name = name.trim_start_matches('.');
        let own = format!("{}.", self.file.package());
        if self.table.qualified { name.to_owned() } else { name.trim_start_matches(&own).to_owned() }
    }

    fn enumeration(&mut self, scope: &str, enumeration: &EnumDescriptorProto) {
        for value in &enumeration.value {
            let name = format!("{scope}{}.{}", enumeration.name(), value.name());
            self.line("enum", &name, &value.number().to_string(), "-");
        }
    }

    fn service(&mut self, service: &ServiceDescriptorProto) {
        for method in &service.method {
            let name = format!("{}.{}/{}", self.file.package(), service.name(), method.name());
            let what = self.signature(method);
            self.line("rpc", &name, "-", &what);
        }
    }

    fn signature(&self, method: &MethodDescriptorProto) -> String {
        let stream = |streaming| if streaming { "stream " } else { "" };
        let bare = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        format!(
            "{}{} -> {}{}",
            stream(method.client_streaming()),
            bare(method.input_type()),
            stream(method.server_streaming()),
            bare(method.output_type())
        )
    }
}
