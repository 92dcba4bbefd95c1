//! `/system/ndk-server`: starts and stops the NDK according to the configuration, and shows its state.
//!
//! If the NDK is always on, a switch starts with it enabled. Disabling or deleting it closes the sockets and forgets
//! all registrations; enabling it opens the sockets again.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::datastore::{Datastore, Source, StateOp, Transaction};
use crate::native_state::at;
use crate::ndk::Ndk;
use crate::path::Path;

fn path() -> Path {
    at(&[("system", &[]), ("ndk-server", &[])])
}

/// Enables the NDK in the startup configuration of a switch.
pub(super) fn enable(store: &Datastore) {
    let candidate = store.private_candidate();
    let enabled = candidate.set(&path().child("admin-state"), &Value::from("enable"));
    if let Err(refusal) = enabled.and_then(|()| store.boot(&candidate)) {
        tracing::error!(%refusal, "the configuration a switch starts with was refused");
    }
}

/// Applies the configuration to the NDK while the future is polled.
pub(super) fn follow(store: Datastore, ndk: Ndk) -> impl Future<Output = ()> + use<> {
    let news = store.subscribe();
    let enabled = is_enabled(&store);
    show(&store, enabled);
    carry_out(store, ndk, news, enabled)
}

async fn carry_out(store: Datastore, ndk: Ndk, mut news: broadcast::Receiver<Arc<Transaction>>, mut enabled: bool) {
    loop {
        if matches!(news.recv().await, Err(broadcast::error::RecvError::Closed)) {
            return;
        }
        let wanted = is_enabled(&store);
        if wanted == enabled {
            continue;
        }
        enabled = wanted;
        let runs = match wanted {
            true => ndk.start().await,
            false => {
                ndk.stop().await;
                Ok(())
            }
        };
        if let Err(error) = &runs {
            tracing::warn!(%error, "cannot start the NDK");
        }
        show(&store, wanted && runs.is_ok());
    }
}

fn is_enabled(store: &Datastore) -> bool {
    let configured = store.json(Source::Running, &path().child("admin-state"));
    configured.is_ok_and(|value| value.is_some_and(|value| value == "enable"))
}

fn show(store: &Datastore, runs: bool) {
    let state = json!({ "oper-state": if runs { "up" } else { "down" } });
    if let Err(refusal) = store.apply_state("native", vec![StateOp::Replace(path(), state)]) {
        tracing::error!(%refusal, "native state was refused");
    }
}
