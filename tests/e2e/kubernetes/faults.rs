//! Tests the agent with an API server that does not answer, has dropped old versions, is overloaded, does not accept
//! the agent's credentials, or is not trusted.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::stream::{self, StreamExt};
use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::rights::{account, shipped};
use super::{ConnectOptions, HEALTHY, LEAF, METALLB, define, leaf, make_kubeconfig, mirror, write_secret};
use crate::admin::Admin;
use crate::apiserver::{self, ApiServer};
use crate::bench::Says::{Has, Is, Nothing};
use crate::bench::{Bench, CLUSTER, bounded};
use crate::net::{Net, ip, skipped};

const STATE: &str = "/k8s-services/cluster[name=c1]/oper-state";
const REASON: &str = "/k8s-services/cluster[name=c1]/oper-reason";
/// How many seconds the server still accepts a token after it has expired, because clocks may differ.
const LEEWAY: u64 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_catches_up_after_an_outage_and_reports_an_expired_token() {
    let net = match Net::new() {
        Ok(net) => net,
        Err(reason) => return skipped(&reason),
    };
    let mut api = match ApiServer::up(net, &[]).await {
        Ok(api) => api,
        Err(reason) => return skipped(&reason),
    };
    let admin = api.admin().await;
    define(&admin, METALLB).await;
    make_kubeconfig(&api);
    let token = api.folder().join("c1.token");
    write_secret(&token, &api.token_for("k8s-services", "leaf", Duration::from_secs(3600)).await);
    let kubeconfig = api.folder().join("by-file.kubeconfig");
    std::fs::write(&kubeconfig, api.kubeconfig(&api.authority(), &json!({"tokenFile": "c1.token"}))).expect("written");
    let bench = leaf(&api, &[ConnectOptions::new("c1", &kubeconfig)]).await;
    mirror(bench.cluster(), &admin).await;
    bench.until(LEAF, HEALTHY).await;

    catches_up(&mut api, &bench).await;
    expired(&mut api, &bench, &token).await;
    bench.down().await;
}

/// Checks that nothing is forgotten while the server does not answer, and that everything is listed again if the server
/// no longer has the version that the agent last saw.
async fn catches_up(api: &mut ApiServer, bench: &Bench) {
    api.stop();
    bench
        .until(
            LEAF,
            &[(STATE, Is("degraded")), (REASON, Has("cannot connect to 172.30.0.1:6443 from network namespace"))],
        )
        .await;
    bench.expect(LEAF, &[("oper-state", Is("up")), ("expected-next-hops", Is("3"))]);
    let cable = |state| ip(&["-n", api.leaf_namespace(), "link", "set", "mgmt0", state]).expect("the cable is there");
    cable("down");
    api.start().await;
    let admin = api.admin().await;
    let slices = admin.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices").await.expect("slices");
    let of_vip = |slice: &&Value| slice["metadata"]["labels"]["kubernetes.io/service-name"] == "nginxhello";
    let slice = slices["items"].as_array().expect("a list").iter().find(of_vip).expect("the VIP's");
    let path = format!(
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/{}",
        slice["metadata"]["name"].as_str().expect("a name")
    );
    let whole = slice["endpoints"].clone();
    let one: Vec<Value> = whole.as_array().expect("endpoints").iter().take(1).cloned().collect();
    admin.patch(&path, &json!({"endpoints": one})).await;
    api.compact().await;
    // The server keeps only changes since its start in memory, and etcd has compacted the earlier ones.
    api.stop();
    api.start().await;
    let watch = "/api/v1/nodes?watch=true&resourceVersion=1&timeoutSeconds=1";
    let (_, _, old) = api.admin().await.raw(Method::GET, watch, "").await;
    let old: Value = serde_json::from_str(&old).expect("one event");
    let gone = &old["object"];
    assert_eq!((&old["type"], &gone["code"], &gone["reason"]), (&json!("ERROR"), &json!(410), &json!("Expired")));
    let listed = |api: &ApiServer| {
        let asked = api.audited("system:serviceaccount:k8s-services:leaf");
        asked.iter().filter(|(verb, _, resource, _)| verb == "list" && resource == "endpointslices").count()
    };
    let before = listed(api);
    let cable = |state| ip(&["-n", api.leaf_namespace(), "link", "set", "mgmt0", state]).expect("the cable is there");
    cable("up");
    let usable = format!("{}/usable-endpoints", crate::bench::SERVICE);
    bench.until(LEAF, &[(STATE, Is("up")), (&usable, Is("1"))]).await;
    assert!(listed(api) > before, "what the server forgot was listed");
    api.admin().await.patch(&path, &json!({"endpoints": whole})).await;
    bench.until(LEAF, HEALTHY).await;
}

/// Checks that an expired token is reported at the next request, and that a new one in the file is used without further
/// action.
async fn expired(api: &mut ApiServer, bench: &Bench, token: &Path) {
    let expires = now() - LEEWAY + 8;
    write_secret(token, &minted(api, expires).await);
    // The watches that are open continue after the token has expired.
    sleep(Duration::from_secs((expires + LEEWAY + 1).saturating_sub(now()))).await;
    bench.expect(LEAF, &[(STATE, Is("up"))]);
    api.stop();
    api.start().await;
    bench
        .until(
            LEAF,
            &[
                (STATE, Is("degraded")),
                (REASON, Has("does not accept the credentials (401 Unauthorized): renew the token")),
            ],
        )
        .await;
    bench.expect(LEAF, &[("oper-state", Is("up"))]);
    write_secret(token, &api.token_for("k8s-services", "leaf", Duration::from_secs(3600)).await);
    bench.until(LEAF, HEALTHY).await;
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Signs a token of the leaves' account that expires at `expires`. The API itself issues no token for less than ten
/// minutes.
async fn minted(api: &ApiServer, expires: u64) -> String {
    let admin = api.admin().await;
    let account = admin.get("/api/v1/namespaces/k8s-services/serviceaccounts/leaf").await.expect("the account");
    let issuer = "https://kubernetes.default.svc";
    let claims = json!({
        "iss": issuer, "aud": [issuer], "sub": "system:serviceaccount:k8s-services:leaf",
        "iat": expires - 600, "nbf": expires - 600, "exp": expires,
        "kubernetes.io": {
            "namespace": "k8s-services",
            "serviceaccount": {"name": "leaf", "uid": account["metadata"]["uid"]},
        },
    });
    let part = |bytes: &[u8]| {
        let text = openssl(api.folder(), &["base64", "-A"], bytes);
        let text = String::from_utf8(text).expect("base64");
        text.trim_end_matches('=').replace('+', "-").replace('/', "_")
    };
    let signed =
        format!("{}.{}", part(json!({"alg": "RS256"}).to_string().as_bytes()), part(claims.to_string().as_bytes()));
    let signature = openssl(api.folder(), &["dgst", "-sha256", "-sign", "accounts.key"], signed.as_bytes());
    format!("{signed}.{}", part(&signature))
}

/// Returns the output of openssl for this input.
fn openssl(folder: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new_in(folder).expect("a file");
    std::fs::write(file.path(), input).expect("written");
    let mut command = Command::new("openssl");
    command.args(arguments);
    if arguments.contains(&"base64") {
        command.arg("-in");
    }
    let output = command.arg(file.path()).current_dir(folder).output().expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_signed_by_another_authority_is_refused() {
    let api = match apiserver::shared().await {
        Ok(api) => api,
        Err(reason) => return skipped(&reason),
    };
    let user = json!({"token": "none"});
    let stranger = api.folder().join("stranger.kubeconfig");
    write_secret(&stranger, &api.kubeconfig(&api.folder().join("stranger.crt"), &user));
    let plain = api.folder().join("plain.kubeconfig");
    write_secret(&plain, &api.kubeconfig(&api.authority(), &user).replace("https://", "http://"));
    let nobody = api.folder().join("nobody.kubeconfig");
    write_secret(&nobody, &api.kubeconfig(&api.authority(), &json!({})));
    let clusters = [("stranger", &stranger), ("plain", &plain), ("nobody", &nobody)];
    let bench = leaf(api, &clusters.map(|(name, kubeconfig)| ConnectOptions::new(name, kubeconfig))).await;
    for (cluster, reason) in [
        ("stranger", "it is not signed by the configured certificate authority; check certificate-authority-file"),
        ("plain", "refuses plain http (400)"),
        ("nobody", "does not accept the credentials (401 Unauthorized)"),
    ] {
        let at = |leaf: &str| format!("/k8s-services/cluster[name={cluster}]/{leaf}");
        bench.until(LEAF, &[(&at("oper-state"), Is("down")), (&at("oper-reason"), Has(reason))]).await;
    }
    bench.down().await;
}

const FLOW: &str = "flowcontrol.apiserver.k8s.io";
/// Enough requests at once to use up the narrowest priority level.
const CROWD: usize = 12;

/// Creates a priority level for these accounts that admits few requests at once and has no queue; returns the path of
/// its flow schema.
async fn narrow(admin: &Admin, accounts: [&str; 2]) -> String {
    let group = admin.get(&format!("/apis/{FLOW}")).await.expect("flow control is on");
    let version = group["preferredVersion"]["groupVersion"].as_str().expect("a version");
    let level = json!({
        "apiVersion": version, "kind": "PriorityLevelConfiguration",
        "metadata": {"name": "narrow"},
        "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 1, "lendablePercent": 0, "borrowingLimitPercent": 0,
            "limitResponse": {"type": "Reject"},
        }},
    });
    let schema = json!({
        "apiVersion": version, "kind": "FlowSchema",
        "metadata": {"name": "narrow"},
        "spec": {"matchingPrecedence": 2, "priorityLevelConfiguration": {"name": "narrow"}, "rules": [{
            "subjects": accounts.map(|account| {
                json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "default", "name": account}})
            }),
            "resourceRules": [{
                "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"],
            }],
        }]},
    });
    admin.apply_object(&level).await;
    admin.apply_object(&schema).await;
    format!("/apis/{version}/flowschemas/narrow")
}

/// Sends many requests at once that each take a while, because they ask for a version that the server has not reached.
/// Continues whatever the answers are, until it is aborted.
async fn crowd(user: Admin) {
    let ask = || async {
        loop {
            let _ = user.get("/api/v1/nodes?resourceVersion=99999999999").await;
            sleep(Duration::from_millis(20)).await;
        }
    };
    futures::future::join_all((0..CROWD).map(|_| ask())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overloaded_server_is_left_alone_and_synced_once_it_recovers() {
    let api = match apiserver::shared().await {
        Ok(api) => api,
        Err(reason) => return skipped(&reason),
    };
    let admin = api.admin().await;
    let kubeconfig = account(api, "limited", shipped().iter()).await;
    let other = account(api, "crowd", shipped().iter()).await;
    let user = Admin::new(api.leaf_namespace(), &std::fs::read_to_string(&other).expect("a file")).await;
    let schema = narrow(&admin, ["limited", "crowd"]).await;
    let crowd = tokio::spawn(crowd(user.clone()));
    let full = |answer: kube::Result<Value>| matches!(answer, Err(kube::Error::Api(status)) if status.code == 429);
    let refused = async {
        while !full(user.get("/api/v1/nodes").await) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    bounded("the crowd leaves nothing for others", refused).await;
    let bench = leaf(api, &[ConnectOptions::new("c1", &kubeconfig)]).await;
    let asked = || api.audited("system:serviceaccount:default:limited").len();
    let (before, since) = (asked(), std::time::Instant::now());
    bench.until(LEAF, &[(REASON, Has("the API server is overloaded (429)"))]).await;
    sleep(Duration::from_secs(5)).await;
    // Each of the loops waits at least the second that the server requests.
    let most = 7 * (since.elapsed().as_secs() as usize + 1);
    assert!(asked() - before <= most, "asked {} times in {:?}", asked() - before, since.elapsed());
    crowd.abort();
    admin.delete(&schema).await;
    bench.until(LEAF, &[(STATE, Is("up")), (REASON, Nothing)]).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_collection_is_listed_in_pages() {
    const MANY: usize = 1100;
    let api = match apiserver::shared().await {
        Ok(api) => api,
        Err(reason) => return skipped(&reason),
    };
    let admin = api.admin().await;
    admin.apply_object(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "many"}})).await;
    let create = |number: usize| {
        let admin = &admin;
        async move {
            let service = json!({
                "metadata": {"name": format!("s{number:03}")},
                "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "allocateLoadBalancerNodePorts": false},
            });
            admin.post("/api/v1/namespaces/many/services", &service).await.expect("created");
        }
    };
    stream::iter(0..MANY).map(create).buffer_unordered(16).collect::<Vec<()>>().await;
    let kubeconfig = account(api, "pages", shipped().iter()).await;
    let mut connect = ConnectOptions::new("c1", &kubeconfig);
    connect.leaves.push("namespace [ many ]".to_owned());
    let bench = leaf(api, &[connect]).await;
    let services = format!("{CLUSTER}/service-count");
    bench.until(LEAF, &[(STATE, Is("up")), (&services, Is("1100"))]).await;
    let asked = api.audited("system:serviceaccount:default:pages");
    let pages = asked.iter().filter(|(verb, _, resource, _)| verb == "list" && resource == "services").count();
    assert_eq!(pages, MANY.div_ceil(500), "{asked:?}");
    bench.down().await;
    admin.delete("/api/v1/namespaces/many").await;
}
