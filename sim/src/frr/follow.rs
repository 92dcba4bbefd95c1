//! Keeps a network instance of a leaf in step with an FRR.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::below::{Kernel, interfaces, mac_vrf};
use super::map::{History, instance};
use super::read::Reading;
use super::{Below, FrrOptions};
use crate::leaf::{InterfaceSource, Leaf, Source};

/// Time between an event and the first reading, in which bursts are collected.
const FIRST: Duration = Duration::from_millis(10);
/// The longest time between readings.
const LONGEST: Duration = Duration::from_secs(1);

/// Shows an FRR on a leaf until it is dropped. Then the tables of the fabric model are shown again.
#[derive(Debug)]
pub struct Follower {
    task: JoinHandle<()>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Shows an FRR as one network instance of a leaf. It is read again whenever `news` is notified, which the caller does
/// when it sees the daemons act.
pub fn follow(leaf: &Leaf, options: FrrOptions, news: Arc<Notify>) -> Follower {
    let source = leaf.source(&options.network_instance);
    let below = options.below.clone().zip(gateway(&options)).map(|(below, gateway)| Layers {
        interfaces: leaf.interface_source(),
        bridge: leaf.source(&below.mac_vrf),
        below,
        gateway,
    });
    Follower { task: tokio::spawn(keep_up(source, below, options, news)) }
}

/// Returns the name of the bridge's subinterface.
fn gateway(options: &FrrOptions) -> Option<String> {
    options.subinterfaces.get(&options.below.as_ref()?.bridge).map(|it| it.name.clone())
}

/// The layers below routing, and where they are shown.
struct Layers {
    below: Below,
    gateway: String,
    interfaces: InterfaceSource,
    bridge: Source,
}

impl Layers {
    async fn show(&mut self) {
        match Kernel::look(&self.below).await {
            Ok(kernel) => {
                self.interfaces.show(interfaces(&self.below, &self.gateway, &kernel));
                self.bridge.show(Some(mac_vrf(&self.below, &self.gateway, &kernel)));
            }
            Err(error) => tracing::warn!(%error, "cannot read interfaces and neighbors from the kernel"),
        }
    }
}

async fn keep_up(source: Source, mut layers: Option<Layers>, options: FrrOptions, news: Arc<Notify>) {
    let mut history = History::default();
    let mut shown = None;
    let mut reachable = true;
    let mut pause = FIRST;
    loop {
        // Ports come before sessions, because a port that goes down takes its sessions down.
        if let Some(layers) = &mut layers {
            layers.show().await;
        }
        match Reading::take(&options.sockets).await {
            Ok(reading) => {
                let instance = Some(instance(&options, &reading, &mut history, jiff::Timestamp::now()));
                if instance != shown {
                    source.show(instance.clone());
                    shown = instance;
                    pause = FIRST;
                }
                reachable = true;
            }
            // Routes outlive zebra, both in the kernel and here.
            Err(error) if reachable => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(instance = %options.network_instance, %error, cause, "cannot read FRR: its tables are kept");
                reachable = false;
            }
            Err(_) => {}
        }
        if timeout(pause, news.notified()).await.is_ok() {
            sleep(FIRST).await;
            pause = FIRST;
        } else {
            pause = LONGEST.min(pause * 2);
        }
    }
}
