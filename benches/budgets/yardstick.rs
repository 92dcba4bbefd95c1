//! The yardsticks to which the agent is compared: clients that do the least work of the same kind. Each runs as a
//! separate process and prints what it used.

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use srl_k8s_services::server_addr::ServerAddr;
use srl_proto::ndk as pb;
use tonic::Request;
use tonic::transport::Channel;

use pb::notification_register_request::{Operation, SubscriptionTypes};
use pb::sdk_mgr_service_client::SdkMgrServiceClient;
use pb::sdk_mgr_telemetry_service_client::SdkMgrTelemetryServiceClient;
use pb::sdk_notification_service_client::SdkNotificationServiceClient;

use crate::process::cpu_of;
use crate::switch::AGENT;

/// Name of another application of the switch.
pub(crate) const PROBE: &str = "probe";

/// Maximum number of entries in one call, as written by the agent.
const BATCH: usize = 500;
/// Number of objects in one page of a listing.
const PAGE: u32 = 500;

/// Runs the requested yardstick.
pub(crate) async fn run(arguments: &[String]) -> anyhow::Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["drop", socket, routes] => drop_routes(socket, routes.parse()?).await,
        ["list", server] => list(server).await,
        ["write", socket, entries] => write(socket, Path::new(entries)).await,
        ["round-trips", socket, entries, seconds] => {
            round_trips(socket, Path::new(entries), Duration::from_secs(seconds.parse()?)).await
        }
        other => anyhow::bail!("{other:?} is no yardstick"),
    }
}

/// Follows routes and next-hop groups until this number of routes has arrived, and drops them after decoding. Prints
/// seconds of processor time.
async fn drop_routes(socket: &str, routes: usize) -> anyhow::Result<()> {
    let channel = connect(socket).await?;
    let mut manager = SdkMgrServiceClient::new(channel.clone());
    manager.agent_register(named(AGENT, pb::AgentRegistrationRequest::default())).await?;
    let create = pb::NotificationRegisterRequest { op: Operation::Create.into(), ..Default::default() };
    let stream_id = manager.notification_register(named(AGENT, create)).await?.into_inner().stream_id;
    let types = [
        SubscriptionTypes::NexthopGroup(pb::NextHopGroupSubscriptionRequest::default()),
        SubscriptionTypes::Route(pb::IpRouteSubscriptionRequest::default()),
    ];
    for subscription in types {
        let request = pb::NotificationRegisterRequest {
            stream_id,
            op: Operation::AddSubscription.into(),
            subscription_types: Some(subscription),
            ..Default::default()
        };
        manager.notification_register(named(AGENT, request)).await?;
    }
    let mut notifications = SdkNotificationServiceClient::new(channel).max_decoding_message_size(64 << 20);
    let request = named(AGENT, pb::NotificationStreamRequest { stream_id });
    let mut stream = notifications.notification_stream(request).await?.into_inner();
    let mut seen = 0;
    while seen < routes {
        let Some(message) = stream.message().await? else { anyhow::bail!("the stream ended after {seen} routes") };
        let is_route = |one: &&pb::Notification| {
            matches!(one.subscription_types, Some(pb::notification::SubscriptionTypes::Route(_)))
        };
        seen += message.notifications.iter().filter(is_route).count();
    }
    println!("{}", cpu_of("self"));
    Ok(())
}

/// Lists services, slices and nodes, and drops them after decoding. Prints seconds.
async fn list(server: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    let client = Client::try_from(kube::Config::new(server.parse()?))?;
    let lists = (pages::<Service>(&client), pages::<EndpointSlice>(&client), pages::<Node>(&client));
    let (services, slices, nodes) = tokio::try_join!(lists.0, lists.1, lists.2)?;
    let took = begun.elapsed().as_secs_f64();
    anyhow::ensure!(services > 0 && slices > 0 && nodes > 0, "the cluster is empty");
    println!("{took}");
    Ok(())
}

async fn pages<K>(client: &Client) -> kube::Result<usize>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = Api::all(client.clone());
    let mut parameters = ListParams::default().limit(PAGE);
    let mut count = 0;
    loop {
        let page = api.list(&parameters).await?;
        count += page.items.len();
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => parameters.continue_token = Some(next),
            None => return Ok(count),
        }
    }
}

/// Writes entries (lines of path, tab, JSON) in batches. Prints seconds.
async fn write(socket: &str, entries: &Path) -> anyhow::Result<()> {
    let batches: Vec<_> = states(entries)?.chunks(BATCH).map(<[pb::TelemetryInfo]>::to_vec).collect();
    let channel = connect(socket).await?;
    let registration = named(AGENT, pb::AgentRegistrationRequest::default());
    SdkMgrServiceClient::new(channel.clone()).agent_register(registration).await?;
    let mut telemetry = SdkMgrTelemetryServiceClient::new(channel);
    let begun = Instant::now();
    for states in batches {
        update(&mut telemetry, AGENT, states).await?;
    }
    println!("{}", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Repeats the same call, one at a time with short pauses. Prints the seconds of each call.
async fn round_trips(socket: &str, entries: &Path, time: Duration) -> anyhow::Result<()> {
    let states = states(entries)?;
    let channel = connect(socket).await?;
    let registration = named(PROBE, pb::AgentRegistrationRequest::default());
    SdkMgrServiceClient::new(channel.clone()).agent_register(registration).await?;
    let mut telemetry = SdkMgrTelemetryServiceClient::new(channel);
    let end = Instant::now() + time;
    while Instant::now() < end {
        let begun = Instant::now();
        update(&mut telemetry, PROBE, states.clone()).await?;
        println!("{}", begun.elapsed().as_secs_f64());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

async fn update(
    telemetry: &mut SdkMgrTelemetryServiceClient<Channel>,
    application: &'static str,
    states: Vec<pb::TelemetryInfo>,
) -> anyhow::Result<()> {
    let request = named(application, pb::TelemetryUpdateRequest { states });
    let answer = telemetry.telemetry_add_or_update(request).await?.into_inner();
    anyhow::ensure!(answer.status == pb::SdkMgrStatus::Success as i32, "{}", answer.error_str);
    Ok(())
}

fn states(entries: &Path) -> anyhow::Result<Vec<pb::TelemetryInfo>> {
    let text = std::fs::read_to_string(entries)?;
    let states = text.lines().filter_map(|line| line.split_once('\t')).map(|(path, json)| pb::TelemetryInfo {
        key: Some(pb::TelemetryKey { js_path: path.to_owned() }),
        data: Some(pb::TelemetryData { json_content: json.to_owned() }),
    });
    Ok(states.collect())
}

async fn connect(socket: &str) -> anyhow::Result<Channel> {
    let endpoint: ServerAddr = format!("unix://{socket}").parse()?;
    Ok(endpoint.connect().await?)
}

fn named<T>(application: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("agent_name", tonic::metadata::MetadataValue::from_static(application));
    request
}
