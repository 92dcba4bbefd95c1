//! Tests of the page of a lab without applications, with requests like those of a browser.

use std::path::PathBuf;

use http::header::{CONTENT_TYPE, HOST};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::lab::{LabFile, LabOptions};
use crate::profile::Profile;

struct Served {
    lab: Arc<Lab>,
    address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    _run: TempDir,
}

impl Served {
    async fn up() -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../lab/anycast-metallb");
        let mut file = LabFile::read(&folder).expect("the lab is readable");
        file.content.apps.clear();
        file.content.config.clear();
        let run = tempfile::tempdir().expect("a folder");
        let options = LabOptions {
            run: run.path().to_owned(),
            programs: PathBuf::from("nowhere"),
            gnmi_port: None,
            api_port: None,
            profile: Profile::default(),
        };
        let lab = Arc::new(Lab::up(file, options, |_| {}).await.expect("the lab starts"));
        let page = Page::bind(0).await.expect("a free port");
        let address = page.address().expect("it listens");
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(page.serve(lab.clone(), async move { drop(ended.await) }));
        Self { lab, address, end: Some(end), task, _run: run }
    }

    async fn open(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        sender.send_request(request).await.expect("answered")
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> (StatusCode, String) {
        let response = self.open(request).await;
        let code = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (code, String::from_utf8(body.to_vec()).expect("text"))
    }

    async fn state(&self) -> Value {
        let (code, text) = self.ask(get("/state")).await;
        assert_eq!(code, StatusCode::OK);
        serde_json::from_str(&text).expect("JSON")
    }
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header(HOST, "localhost").body(Full::default()).expect("a request")
}

fn post(media: &str, action: &Value) -> Request<Full<Bytes>> {
    let request = Request::post("/act").header(HOST, "127.0.0.1:1").header(CONTENT_TYPE, media);
    request.body(Full::from(action.to_string())).expect("a request")
}

#[tokio::test]
async fn the_page_and_its_files_are_served() {
    let served = Served::up().await;
    let (code, page) = served.ask(get("/")).await;
    assert_eq!(code, StatusCode::OK);
    for (path, ..) in &FILES[1..] {
        assert!(page.contains(&path[1..]), "{path} is not used");
        assert_eq!(served.ask(get(path)).await.0, StatusCode::OK);
    }
    assert_eq!(served.ask(get("/nothing")).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_offered_lever_can_be_pulled_and_released() {
    let served = Served::up().await;
    let state = served.state().await;
    assert_eq!(state["fabric"]["leaves"].as_array().map(Vec::len), Some(4));
    let offered = state["offered"].as_array().expect("a list").clone();
    assert!(!offered.is_empty());
    for offer in &offered {
        let (code, answer) = served.ask(post(JSON, &json!({ "pull": offer["lever"] }))).await;
        assert_eq!(code, StatusCode::OK, "{}: {answer}", offer["words"]);
    }
    assert_eq!(served.state().await["pulled"].as_array().map(Vec::len), Some(offered.len()));
    let (code, _) = served.ask(post(JSON, &json!("release-all"))).await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(served.state().await["pulled"], json!([]));
}

#[tokio::test]
async fn an_impossible_action_is_refused_with_the_reason() {
    let served = Served::up().await;
    let unknown = json!({ "pull": { "link-down": { "node": "nobody" } } });
    let (code, answer) = served.ask(post(JSON, &unknown)).await;
    assert_eq!(code, StatusCode::CONFLICT);
    assert!(answer.contains("nobody"), "{answer}");
    assert_eq!(served.ask(post(JSON, &json!({ "fly": {} }))).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn other_sites_can_neither_read_nor_act() {
    let served = Served::up().await;
    let foreign = Request::get("/state").header(HOST, "evil.example:57480").body(Full::default()).expect("a request");
    assert_eq!(served.ask(foreign).await.0, StatusCode::FORBIDDEN);
    // A form can send this without a preflight request.
    let form = post("text/plain", &json!("release-all"));
    assert_eq!(served.ask(form).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn changes_are_sent_as_events_and_the_page_releases_the_lab_when_it_ends() {
    let mut served = Served::up().await;
    let mut events = served.open(get("/events")).await.into_body();
    let first = events.frame().await.expect("at once").expect("a frame");
    assert_eq!(first.into_data().expect("data"), Bytes::from("data: changed\n\n"));
    let action = serde_json::from_value(json!({ "pull": { "link-down": { "node": "cluster1" } } })).expect("an action");
    served.lab.act(&action).await.expect("pulled");
    assert!(events.frame().await.expect("a change").is_ok());
    drop(served.end.take());
    (&mut served.task).await.expect("it ends");
    assert!(Arc::into_inner(served.lab).is_some(), "the page still holds the lab");
}
