//! Tests that the embedded API server gives clients the same answers as the real one.

use http::Method;
use serde_json::{Value, json};
use srl_sim::cluster::Cluster;
use tokio::net::TcpListener;

use crate::admin::Admin;
use crate::apiserver;
use crate::net::skipped;

const MAPS: &str = "/api/v1/namespaces/talk/configmaps";

/// The answers in order: request, status, media type and body, without what differs between any two servers.
type Said = Vec<(String, u16, String, Vec<Value>)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_api_server_answers_like_the_real_one() {
    let api = match apiserver::shared().await {
        Ok(api) => api,
        Err(reason) => return skipped(&reason),
    };
    let cluster = Cluster::new();
    let server = cluster.serve(TcpListener::bind("127.0.0.1:0").await.expect("a port")).expect("it is served");
    let real = talk(&api.admin().await).await;
    let embedded = talk(&Admin::plain(None, &server.url())).await;
    let wrong: Vec<String> = real
        .iter()
        .zip(&embedded)
        .filter(|(real, embedded)| real != embedded)
        .map(|(real, embedded)| format!("{}\n  real:     {:?}\n  embedded: {:?}", real.0, real, embedded))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn talk(client: &Admin) -> Said {
    let mut said = Said::new();
    let map = |name: &str, colour: &str| json!({"metadata": {"name": name, "labels": {"colour": colour}}}).to_string();
    client.raw(Method::POST, "/api/v1/namespaces", &json!({"metadata": {"name": "talk"}}).to_string()).await;
    say(client, &mut said, Method::POST, MAPS, &map("a", "red")).await;
    let begin = version(&say(client, &mut said, Method::POST, MAPS, &map("b", "blue")).await);
    for (method, path, body) in [
        (Method::POST, MAPS.to_owned(), map("a", "red")),
        (Method::POST, MAPS.to_owned(), map("No", "red")),
        (Method::POST, MAPS.to_owned(), json!({"metadata": {"generateName": "no."}}).to_string()),
        (Method::GET, format!("{MAPS}/none"), String::new()),
        (Method::GET, format!("{MAPS}?labelSelector=colour%3Dred"), String::new()),
        (Method::GET, format!("{MAPS}?labelSelector=%3D%3D"), String::new()),
        (Method::GET, format!("{MAPS}?limit=1&continue=nonsense"), String::new()),
        (Method::GET, "/apis/metallb.nowhere/v1beta1/ipaddresspools".to_owned(), String::new()),
        (Method::GET, "/apis/metallb.nowhere/v1beta1".to_owned(), String::new()),
        (Method::GET, "/apis/metallb.nowhere".to_owned(), String::new()),
        (Method::GET, "/api/v1/nothings".to_owned(), String::new()),
    ] {
        say(client, &mut said, method, &path, &body).await;
    }
    let first = say(client, &mut said, Method::GET, &format!("{MAPS}?limit=1"), "").await;
    let next = first["metadata"]["continue"].as_str().expect("there is more").to_owned();
    say(client, &mut said, Method::GET, &format!("{MAPS}?limit=1&continue={next}"), "").await;
    // Objects that enter a selection, change in it and leave it.
    for (name, colour) in [("b", "red"), ("a", "red"), ("a", "blue")] {
        let object = json!({"metadata": {"name": name, "labels": {"colour": colour}}, "data": {"now": colour}});
        say(client, &mut said, Method::PUT, &format!("{MAPS}/{name}"), &object.to_string()).await;
    }
    say(client, &mut said, Method::DELETE, &format!("{MAPS}/b"), "").await;
    let watch = format!("{MAPS}?watch=true&resourceVersion={begin}&timeoutSeconds=1");
    say(client, &mut said, Method::GET, &format!("{watch}&labelSelector=colour%3Dred"), "").await;
    say(client, &mut said, Method::GET, &watch, "").await;
    say(client, &mut said, Method::DELETE, &format!("{MAPS}/a"), "").await;
    said
}

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().expect("a version").to_owned()
}

/// Sends a request and records the answer; returns the first JSON value of the answer unchanged.
async fn say(client: &Admin, said: &mut Said, method: Method, path: &str, body: &str) -> Value {
    let (status, media, text) = client.raw(method.clone(), path, body).await;
    let json = serde_json::Deserializer::from_str(&text).into_iter().collect::<Result<Vec<Value>, _>>();
    let lines = json.unwrap_or_else(|_| vec![Value::String(text)]);
    let first = lines.first().cloned().unwrap_or_default();
    // Versions and continue tokens differ between the two servers.
    let own = |part: &&str| !part.starts_with("continue=") && !part.starts_with("resourceVersion=");
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query = query.split('&').filter(own).collect::<Vec<_>>().join("&");
    let asked = format!("{method} {path} {query} {body}");
    said.push((asked, status, media, lines.into_iter().map(|line| shared(line, status)).collect()));
    first
}

/// Members that differ between any two servers.
const OWN: [&str; 5] = ["uid", "resourceVersion", "creationTimestamp", "continue", "managedFields"];

/// Returns a value without what differs between any two servers, which includes the message about a bad request.
fn shared(value: Value, status: u16) -> Value {
    match value {
        Value::Object(members) => {
            let own = |name: &str| OWN.contains(&name) || status == 400 && name == "message";
            let rest = members.into_iter().filter(|(name, _)| !own(name));
            rest.map(|(name, value)| (name, shared(value, status))).collect()
        }
        Value::Array(items) => items.into_iter().map(|item| shared(item, status)).collect(),
        // A generated name ends with five letters and digits that the server chooses.
        Value::String(text) if text.starts_with("no.") && text.len() == 8 => "no.".into(),
        Value::String(text) => match text.split_once("\"no.") {
            Some((before, after)) if after.get(5..6) == Some("\"") => format!("{before}\"no.{}", &after[5..]).into(),
            _ => text.into(),
        },
        other => other,
    }
}
