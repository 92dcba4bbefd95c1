//! State of one NDK: rows, streams, applications and their registrations. It is behind one lock, which is never held
//! across an await.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use srl_proto::ndk as pb;
use tokio::sync::{Notify, oneshot};

use super::AppInfo;
use super::feed::RouteFeed;
use super::programmed::Programmed;
use super::rows::{Filter, Key, Row};
use super::streams::{Manner, Stream, Taken};
use crate::datastore::Node;
use crate::path::Path;

/// First id of applications that bring their own YANG; the switch's own applications have lower ones.
const FIRST_AGENT_ID: u32 = 1021;

#[derive(Default)]
pub(crate) struct Core {
    pub(crate) rows: BTreeMap<Key, Row>,
    pub(crate) feed: Option<Arc<dyn RouteFeed>>,
    pub(crate) apps: BTreeMap<String, App>,
    pub(crate) streams: BTreeMap<u64, Stream>,
    /// The configuration that applications received last.
    pub(crate) config: Arc<Node>,
    last_stream: u64,
    last_subscription: u64,
    last_generation: u64,
}

/// An application that the switch knows.
pub(crate) struct App {
    pub(crate) info: Arc<AppInfo>,
    pub(crate) id: u32,
    pub(crate) registration: Option<Registration>,
    pub(crate) programmed: Programmed,
    /// Telemetry paths written and not deleted. Kept only if deleting any other path is an error.
    pub(crate) written: BTreeSet<Path>,
}

/// A registration, with what the application asked for.
pub(crate) struct Registration {
    pub(crate) generation: u64,
    pub(crate) liveliness: Duration,
    pub(crate) alive: Instant,
    pub(crate) wait_config_ack: bool,
    pub(crate) enable_cache: bool,
    pub(crate) auto_telemetry_state: bool,
    /// Deliveries to be acknowledged, oldest first, each with the commit that waits for it, if any.
    pub(crate) unacknowledged: VecDeque<Option<oneshot::Sender<Vec<pb::AcknowledgeConfigRequestInfo>>>>,
}

impl Core {
    /// Inserts, replaces or removes one row and notifies every stream. Nothing is sent if nothing changes.
    pub(crate) fn change(&mut self, key: Key, row: Option<Row>) {
        let old = match row {
            Some(row) => {
                if self.rows.get(&key) == Some(&row) {
                    return;
                }
                self.rows.insert(key.clone(), row)
            }
            None => match self.rows.remove(&key) {
                Some(old) => Some(old),
                None => return,
            },
        };
        for stream in self.streams.values_mut() {
            stream.note(&key, old.as_ref());
        }
    }

    pub(crate) fn add_app(&mut self, info: AppInfo) -> u32 {
        if let Some(known) = self.apps.get_mut(&info.name) {
            known.info = Arc::new(info);
            return known.id;
        }
        let id = FIRST_AGENT_ID + u32::try_from(self.apps.len()).unwrap_or(u32::MAX - FIRST_AGENT_ID);
        let name = info.name.clone();
        let app = App {
            info: Arc::new(info),
            id,
            registration: None,
            programmed: Programmed::default(),
            written: BTreeSet::new(),
        };
        self.apps.insert(name.clone(), app);
        self.tell_app(&name);
        id
    }

    /// Sends the current `AppIdent` row of an application.
    pub(crate) fn tell_app(&mut self, name: &str) {
        let Some(app) = self.apps.get(name) else { return };
        let row = pb::AppIdentData {
            name: name.to_owned(),
            author: app.info.author.clone(),
            is_connected: app.registration.is_some(),
            version: app.info.version.clone(),
        };
        self.change(Key::App(app.id), Some(Row::App(Box::new(row))));
    }

    pub(crate) fn app_id(&self, name: &str) -> Option<u32> {
        self.rows.range(Key::App(0)..Key::Group(0)).find_map(|(key, row)| match (key, row) {
            (Key::App(id), Row::App(data)) if data.name == name => Some(*id),
            _ => None,
        })
    }

    pub(crate) fn registration(&self, app: &str) -> Option<&Registration> {
        self.apps.get(app)?.registration.as_ref()
    }

    pub(crate) fn registration_mut(&mut self, app: &str) -> Option<&mut Registration> {
        self.apps.get_mut(app)?.registration.as_mut()
    }

    /// Registers a known application. An earlier registration ends.
    pub(crate) fn register(&mut self, name: &str, request: &pb::AgentRegistrationRequest) -> Option<(u32, u64)> {
        self.close_streams_of(name);
        self.last_generation += 1;
        let generation = self.last_generation;
        let app = self.apps.get_mut(name)?;
        app.registration = Some(Registration {
            generation,
            liveliness: Duration::from_secs(u64::from(request.agent_liveliness)),
            alive: Instant::now(),
            wait_config_ack: request.wait_config_ack,
            enable_cache: request.enable_cache,
            auto_telemetry_state: request.auto_telemetry_state,
            unacknowledged: VecDeque::new(),
        });
        let id = app.id;
        self.tell_app(name);
        Some((id, generation))
    }

    /// Removes a registration. Returns false if there was none.
    pub(crate) fn unregister(&mut self, name: &str) -> bool {
        self.close_streams_of(name);
        let Some(app) = self.apps.get_mut(name) else { return false };
        let had = app.registration.take().is_some();
        self.tell_app(name);
        had
    }

    /// Forgets what a restart of the NDK loses.
    pub(crate) fn forget_registrations(&mut self) {
        let names: Vec<String> = self.apps.keys().cloned().collect();
        for name in names {
            self.unregister(&name);
        }
        self.last_stream = 0;
        self.last_subscription = 0;
    }

    fn close_streams_of(&mut self, name: &str) {
        self.streams.retain(|_, stream| {
            if stream.app == name {
                stream.close();
            }
            stream.app != name
        });
    }

    /// Ends every stream. Streams are removed or, if they survive, can be opened again.
    pub(crate) fn drop_streams(&mut self, survive: bool) {
        self.streams.values_mut().for_each(Stream::close);
        if !survive {
            self.streams.clear();
        }
    }

    pub(crate) fn create_stream(&mut self, app: &str) -> u64 {
        self.last_stream += 1;
        let cached = self.registration(app).is_some_and(|registration| registration.enable_cache);
        self.streams.insert(self.last_stream, Stream::new(app.to_owned(), cached));
        self.last_stream
    }

    /// Returns whether an application has a stream.
    pub(crate) fn has_stream(&self, app: &str) -> bool {
        self.streams.values().any(|stream| stream.app == app)
    }

    /// Returns a stream if it belongs to this application.
    pub(crate) fn stream(&mut self, app: &str, id: u64) -> Option<&mut Stream> {
        self.streams.get_mut(&id).filter(|stream| stream.app == app)
    }

    pub(crate) fn subscribe(&mut self, app: &str, stream: u64, filter: Filter) -> Option<u64> {
        let id = self.last_subscription + 1;
        self.stream(app, stream)?.add(id, filter);
        self.last_subscription = id;
        Some(id)
    }

    /// Opens a stream for a reader. Returns its generation and what wakes the reader.
    pub(crate) fn open(&mut self, app: &str, id: u64) -> Option<(u64, Arc<Notify>)> {
        let generation = self.last_generation + 1;
        let wake = self.stream(app, id)?.open(generation);
        self.last_generation = generation;
        Some((generation, wake))
    }

    pub(crate) fn take(&mut self, id: u64, generation: u64, manner: Manner) -> Taken {
        match self.streams.get_mut(&id) {
            Some(stream) => stream.take(generation, &self.rows, self.feed.as_ref(), manner),
            None => Taken::Closed,
        }
    }
}
