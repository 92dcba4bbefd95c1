//! Finds out what a gNMI server accepts: sends every request of the agent once, in the forms the agent would try.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use futures::StreamExt;
use tonic::Status;

use super::client::{Client, Refusal, refusal};
use super::investigator::questions_of_each_kind;
use super::link::Options;
use super::path::wire;
use super::source::unreachable;
use super::subscriptions::{Plan, Rpc};
use crate::model::adaptation::Refused;
use crate::model::inquiry::AddressKey;
use crate::model::names::NetworkInstanceName;
use crate::path::Path;
use crate::server_addr::ConnectError;
use crate::supervise::{chain, words};
use srl_proto::gnmi;

/// How long the server may take to start sending neighbors, and to answer a Get.
const PATIENCE: Duration = Duration::from_secs(10);
/// A subscription to changes only counts as accepted if it was not refused within this time.
const ACCEPTED_AFTER: Duration = Duration::from_secs(2);

/// An address that no host has (TEST-NET-1).
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// What a server accepts.
#[derive(Clone, Debug)]
pub struct Probed {
    /// The encoding the agent would use.
    pub encoding: &'static str,
    /// What the server refuses and the agent can do without.
    pub refused: Refused,
}

/// Why a server cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// There is no usable password.
    Password(String),
    /// The socket does not exist.
    Absent(String),
    /// There is no connection.
    Connection(String),
    /// User or password are not accepted.
    Credentials(String),
    /// The server received too many requests in this minute, from any client.
    Limit(String),
    /// The server refuses something the agent needs, or fails.
    Failed(String),
}

/// Sends a server everything that the agent asks. `instances` are the network instances whose FIB programming matters.
///
/// # Errors
/// If the agent cannot use the server.
pub async fn probe(options: &Options, instances: &BTreeSet<NetworkInstanceName>) -> Result<Probed, ProbeError> {
    let secret = options.credentials.read().await.map_err(|error| ProbeError::Password(chain(&error)))?;
    let connected = Client::connect(&options.endpoint, secret.clone()).await;
    let mut client = connected.map_err(|error| match error {
        ConnectError::Absent { .. } => ProbeError::Absent(unreachable(&error)),
        _ => ProbeError::Connection(unreachable(&error)),
    })?;
    let refused = |status: &Status| match refusal(status) {
        Refusal::Credentials => {
            let who = options.credentials.words(&secret);
            ProbeError::Credentials(format!("the gNMI server does not accept {who}: {}", words(status)))
        }
        Refusal::Limit => ProbeError::Limit(format!("the gNMI server limits requests: {}", words(status))),
        _ => ProbeError::Failed(format!("the gNMI server refuses what the agent needs: {}", words(status))),
    };
    let mut plan = match tokio::time::timeout(PATIENCE, client.encodings()).await {
        Ok(Ok(encodings)) => Plan::for_server(&encodings),
        Ok(Err(status)) if matches!(refusal(&status), Refusal::Credentials | Refusal::Limit) => {
            return Err(refused(&status));
        }
        Ok(Err(_)) => Plan::default(),
        Err(_) => return Err(ProbeError::Connection(format!("no answer from {} in time", options.endpoint))),
    };
    while let Err(status) = begun(&client, plan.state(), PATIENCE).await {
        if !simpler(&mut plan, Rpc::State, &status) {
            return Err(refused(&status));
        }
    }
    while let Some(request) = plan.fib(instances, plan.has_updates_only()) {
        let Err(status) = begun(&client, request, ACCEPTED_AFTER).await else { break };
        if !simpler(&mut plan, Rpc::Fib, &status) {
            return Err(refused(&status));
        }
    }
    let nobody = instances.iter().map(|instance| AddressKey { network_instance: instance.clone(), address: NOBODY });
    let nobody: BTreeSet<_> = nobody.collect();
    while let Some((request, _)) = plan.entries(&nobody) {
        let Err(status) = begun(&client, request, ACCEPTED_AFTER).await else { break };
        if !simpler(&mut plan, Rpc::Entries, &status) {
            return Err(refused(&status));
        }
    }
    let mut probed = Probed { encoding: plan.encoding_name(), refused: plan.refused() };
    probed.refused.paths.extend(refused_tables(&client, plan.encoding()).await.map_err(|status| refused(&status))?);
    Ok(probed)
}

/// Opens a subscription and waits for its first message; no message in time is not a refusal.
async fn begun(client: &Client, request: gnmi::SubscribeRequest, patience: Duration) -> Result<(), Status> {
    match tokio::time::timeout(patience, client.subscribe(request).next()).await {
        Ok(Some(Err(status))) => Err(status),
        Ok(None) => Err(Status::unavailable("the server ended the subscription")),
        Ok(Some(Ok(_))) | Err(_) => Ok(()),
    }
}

/// Gives up what a refusal is about, as the agent does; returns false if nothing is left to give up.
fn simpler(plan: &mut Plan, rpc: Rpc, status: &Status) -> bool {
    match refusal(status) {
        Refusal::Encoding => plan.next_encoding(),
        Refusal::Path => plan.simplify(rpc, status.message()).is_some(),
        Refusal::Credentials | Refusal::Limit | Refusal::Other => false,
    }
}

/// Returns the tables that the agent reads when something is not up, but that the server does not have.
async fn refused_tables(client: &Client, encoding: gnmi::Encoding) -> Result<Vec<std::sync::Arc<str>>, Status> {
    // All at once, because others share the server's limit; one by one only if that is refused.
    let (tables, paths): (Vec<_>, Vec<_>) = questions_of_each_kind(NOBODY).unzip();
    if !refuses(client, encoding, &paths.concat()).await? {
        return Ok(Vec::new());
    }
    let mut refused = Vec::new();
    for (table, paths) in tables.into_iter().zip(paths) {
        if refuses(client, encoding, &paths).await? {
            refused.push(table.into());
        }
    }
    Ok(refused)
}

/// Returns whether a Get of these paths is refused because of one of them.
async fn refuses(client: &Client, encoding: gnmi::Encoding, paths: &[Path]) -> Result<bool, Status> {
    let request = gnmi::GetRequest {
        path: paths.iter().map(wire).collect(),
        r#type: gnmi::get_request::DataType::State.into(),
        encoding: encoding.into(),
        ..Default::default()
    };
    match tokio::time::timeout(PATIENCE, client.get_small(request)).await {
        Ok(Err(status)) if refusal(&status) == Refusal::Path => Ok(true),
        Ok(Err(status)) if matches!(refusal(&status), Refusal::Credentials | Refusal::Limit) => Err(status),
        _ => Ok(false),
    }
}
