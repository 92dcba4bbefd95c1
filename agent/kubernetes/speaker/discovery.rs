//! Finds out which resources of a speaker the API server serves, and where.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::http::{Client, RequestError};
use super::super::limits;
use super::super::reason::{self, Request};
use crate::model::speaker::SpeakerResource;

/// API paths like `/apis/metallb.io/v1beta1`, best first, by resource. A resource that is not served is absent.
pub(super) type Served = BTreeMap<SpeakerResource, Vec<Arc<str>>>;

/// The part of an API group that is read.
#[derive(Debug, Default, Deserialize)]
struct ApiGroup {
    versions: Option<Vec<GroupVersion>>,
}

#[derive(Debug, Deserialize)]
struct GroupVersion {
    version: Option<String>,
}

/// The resources of a group in one version.
#[derive(Debug, Default, Deserialize)]
struct ApiResources {
    resources: Option<Vec<ApiResource>>,
}

#[derive(Debug, Deserialize)]
struct ApiResource {
    name: Option<String>,
}

/// A server's answer about a group, or a version of it.
#[derive(Debug)]
enum Answer<T> {
    Served(T),
    Absent,
    /// The server does not say; listing the resource will show.
    Undetermined,
}

/// Asks for the groups of the resources, each once.
///
/// # Errors
/// If the server does not answer; returns the reason.
pub(super) async fn discover(
    client: &Client,
    resources: &[SpeakerResource],
    patience: Duration,
) -> Result<Served, String> {
    let mut versions: BTreeMap<&str, Answer<Vec<String>>> = BTreeMap::new();
    let mut plurals: BTreeMap<String, Answer<Vec<String>>> = BTreeMap::new();
    let mut served = Served::new();
    for resource in resources {
        for group in resource.groups() {
            if !versions.contains_key(group.name) {
                versions.insert(group.name, group_versions(client, group.name, patience).await?);
            }
            let known = &versions[group.name];
            for version in group.versions {
                let api = format!("/apis/{}/{version}", group.name);
                match known {
                    Answer::Absent => continue,
                    Answer::Served(versions) if !versions.iter().any(|served| served == version) => continue,
                    Answer::Served(_) if !plurals.contains_key(&api) => {
                        plurals.insert(api.clone(), version_resources(client, &api, patience).await?);
                    }
                    Answer::Served(_) | Answer::Undetermined => {}
                }
                let there = match plurals.get(&api) {
                    Some(Answer::Served(plurals)) => plurals.iter().any(|plural| plural == resource.plural()),
                    Some(Answer::Absent) => false,
                    Some(Answer::Undetermined) | None => true,
                };
                if there {
                    served.entry(*resource).or_default().push(api.into());
                    // Other versions return the same objects.
                    if matches!(known, Answer::Served(_)) {
                        break;
                    }
                }
            }
        }
    }
    Ok(served)
}

async fn group_versions(client: &Client, group: &str, patience: Duration) -> Result<Answer<Vec<String>>, String> {
    let answer: Answer<ApiGroup> = ask(client, &format!("/apis/{group}"), patience).await?;
    Ok(match answer {
        Answer::Served(group) => {
            let versions = group.versions.unwrap_or_default().into_iter();
            Answer::Served(versions.filter_map(|version| version.version).collect())
        }
        Answer::Absent => Answer::Absent,
        Answer::Undetermined => Answer::Undetermined,
    })
}

async fn version_resources(client: &Client, api: &str, patience: Duration) -> Result<Answer<Vec<String>>, String> {
    let answer: Answer<ApiResources> = ask(client, api, patience).await?;
    Ok(match answer {
        Answer::Served(list) => {
            let resources = list.resources.unwrap_or_default().into_iter();
            Answer::Served(resources.filter_map(|resource| resource.name).collect())
        }
        Answer::Absent => Answer::Absent,
        Answer::Undetermined => Answer::Undetermined,
    })
}

async fn ask<T: DeserializeOwned>(client: &Client, path: &str, patience: Duration) -> Result<Answer<T>, String> {
    let request = Request { verb: "get", resource: "API groups", namespace: None };
    match client.get(path, limits::ANSWER_BYTES, patience).await {
        Ok(answer) => Ok(serde_json::from_slice(&answer.bytes).map_or(Answer::Undetermined, Answer::Served)),
        Err(RequestError::TooLarge { .. }) => Ok(Answer::Undetermined),
        Err(error) => match error.code() {
            Some(404) => Ok(Answer::Absent),
            None | Some(401) => Err(reason::explain(&error, request)),
            Some(_) => Ok(Answer::Undetermined),
        },
    }
}
