//! Keeping a network instance of a leaf what an FRR says.

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

/// The pause before the first look after an event, which gathers what comes in a burst.
const FIRST: Duration = Duration::from_millis(10);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(1);

/// Keeps a leaf what an FRR says, as long as it is not dropped; then the fabric model's tables show again.
#[derive(Debug)]
pub struct Follower {
    task: JoinHandle<()>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Shows an FRR as one network instance of a leaf. `news` is notified by whoever sees the daemons act: a look follows.
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

/// The subinterface that the bridge is.
fn gateway(options: &FrrOptions) -> Option<String> {
    options.subinterfaces.get(&options.below.as_ref()?.bridge).map(|it| it.name.clone())
}

/// What shows the layers below routing.
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
            Err(error) => tracing::warn!(%error, "the kernel cannot be asked about what is below routing"),
        }
    }
}

async fn keep_up(source: Source, mut layers: Option<Layers>, options: FrrOptions, news: Arc<Notify>) {
    let mut history = History::default();
    let mut shown = None;
    let mut reachable = true;
    let mut pause = FIRST;
    loop {
        // A port that goes down takes sessions along, and is shown no later than they are.
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
            // Routes outlive zebra, in the kernel and here.
            Err(error) if reachable => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(instance = %options.network_instance, %error, cause, "FRR cannot be read, its tables stay");
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
