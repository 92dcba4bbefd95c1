//! A minimal OpenAPI v2 document with the same contents as [`super::openapi`], as the Protocol Buffers message that
//! older versions of kubectl insist on. It has only the members that kubectl reads, with the numbers of gnostic's
//! `openapi.v2.Document`.

use prost::Message as _;
use serde_json::json;

use super::super::resource::Resource;
use super::super::state::State;
use super::openapi::path_of;

/// Media type of the response.
pub(crate) const MEDIA: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

#[derive(Clone, PartialEq, prost::Message)]
struct Document {
    #[prost(string, tag = "1")]
    swagger: String,
    #[prost(message, optional, tag = "2")]
    info: Option<Info>,
    #[prost(message, optional, tag = "8")]
    paths: Option<Paths>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Info {
    #[prost(string, tag = "1")]
    title: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Paths {
    #[prost(message, repeated, tag = "2")]
    path: Vec<NamedPath>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NamedPath {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Path>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Path {
    #[prost(message, optional, tag = "8")]
    patch: Option<Operation>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Operation {
    #[prost(message, repeated, tag = "8")]
    parameters: Vec<ParametersItem>,
    #[prost(message, repeated, tag = "13")]
    extensions: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ParametersItem {
    #[prost(message, optional, tag = "1")]
    parameter: Option<Parameter>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Parameter {
    #[prost(message, optional, tag = "2")]
    non_body: Option<NonBody>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NonBody {
    #[prost(message, optional, tag = "3")]
    query: Option<QueryParameter>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct QueryParameter {
    #[prost(string, tag = "2")]
    place: String,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "6")]
    kind: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NamedAny {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Yaml>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Yaml {
    #[prost(string, tag = "2")]
    yaml: String,
}

/// `/openapi/v2`
pub(crate) fn document(state: &State) -> Vec<u8> {
    let resources = state.registry.iter().map(|(_, resource)| resource);
    let path = resources.flat_map(|resource| resource.versions.iter().map(move |version| path(resource, version)));
    let document = Document {
        swagger: "2.0".to_owned(),
        info: Some(Info { title: "Kubernetes".to_owned(), version: state.options.kubernetes_version.clone() }),
        paths: Some(Paths { path: path.collect() }),
    };
    document.encode_to_vec()
}

fn path(resource: &Resource, version: &str) -> NamedPath {
    let place = if resource.namespaced { "namespaces/{namespace}/" } else { "" };
    let name = format!("/{}/{place}{}/{{name}}", path_of(&resource.group, version), resource.plural);
    let kind = json!({"group": &*resource.group, "version": version, "kind": &*resource.kind}).to_string();
    let extension = NamedAny { name: "x-kubernetes-group-version-kind".to_owned(), value: Some(Yaml { yaml: kind }) };
    let parameters = ["dryRun", "fieldValidation"].map(parameter).to_vec();
    NamedPath { name, value: Some(Path { patch: Some(Operation { parameters, extensions: vec![extension] }) }) }
}

fn parameter(name: &str) -> ParametersItem {
    let query = QueryParameter { place: "query".to_owned(), name: name.to_owned(), kind: "string".to_owned() };
    ParametersItem { parameter: Some(Parameter { non_body: Some(NonBody { query: Some(query) }) }) }
}
