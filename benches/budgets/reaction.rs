//! The time from a change to the telemetry call that reports it, at a thousand changes per second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use srl_sim::ndk::TelemetryCall;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;

use crate::load::SERVICES;
use crate::process::yardstick;
use crate::report::{Line, ratio};
use crate::scene::Scene;

/// Changes per second.
const RATE: u32 = 1_000;

/// Changes every VIP once: alternately its route and an endpoint.
pub(crate) async fn reaction(scene: &Scene) -> Vec<Line> {
    let entries = scene.probe_entries().display().to_string();
    let socket = scene.switch.ndk().socket().display().to_string();
    let seconds = (SERVICES / RATE).to_string();
    let arguments = ["round-trips", &socket, &entries, &seconds];
    let (mut round_trips, delays) = tokio::join!(yardstick(&arguments), delays(scene));
    let (mut of_routes, mut of_endpoints) = (Vec::new(), Vec::new());
    for (number, delay) in delays {
        if number % 2 == 0 { of_routes.push(delay) } else { of_endpoints.push(delay) }
    }
    let trip = percentiles(&mut round_trips);
    let mut lines = vec![Line::figure("unary round trips", said(trip))];
    for (what, delays) in [("route", &mut of_routes), ("endpoint", &mut of_endpoints)] {
        let delay = percentiles(delays);
        lines.push(Line::figure(format!("{what} change to telemetry call"), said(delay)));
        lines.push(Line::budget(format!("{what} change, p99 in round trips"), ratio(delay.1, trip.1), 1.0));
    }
    lines
}

/// Returns the seconds from each change to the first call that names its service.
async fn delays(scene: &Scene) -> BTreeMap<u32, f64> {
    let mut calls = scene.switch.ndk().record().subscribe();
    let named = tokio::spawn(async move {
        let mut first: BTreeMap<u32, Instant> = BTreeMap::new();
        while first.len() < SERVICES as usize {
            match tokio::time::timeout(Duration::from_secs(10), calls.recv()).await {
                Ok(Ok(call)) => {
                    for number in services(&call) {
                        first.entry(number).or_insert(call.at);
                    }
                }
                Ok(Err(RecvError::Lagged(missed))) => panic!("{missed} calls were missed"),
                Ok(Err(RecvError::Closed)) | Err(_) => break,
            }
        }
        first
    });
    let mut changed = BTreeMap::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for index in 0..SERVICES {
        ticks.tick().await;
        // Changes are scattered, and each service is changed once: the factor has no common divisor with the count.
        let number = index * 7_919 % SERVICES;
        changed.insert(number, Instant::now());
        if number.is_multiple_of(2) { scene.fewer(number) } else { scene.endpoint(number, false) }
    }
    let named = named.await.expect("the listener does not panic");
    let missing = changed.keys().filter(|number| !named.contains_key(number)).count();
    assert_eq!(missing, 0, "changes that were never written");
    let delay = |(number, at): (u32, Instant)| (number, named[&number].saturating_duration_since(at).as_secs_f64());
    changed.into_iter().map(delay).collect()
}

/// Returns the services that a call of the agent names.
fn services(call: &TelemetryCall) -> impl Iterator<Item = u32> {
    let of = move |path: &String| {
        let (_, rest) = path.split_once(".cluster{.name==\"c1\"}.service{")?;
        let (_, rest) = rest.split_once(".name==\"web-")?;
        rest.split('"').next()?.parse().ok()
    };
    call.paths.iter().filter_map(of)
}

/// Returns the median and the 99th percentile.
fn percentiles(seconds: &mut [f64]) -> (f64, f64) {
    seconds.sort_by(f64::total_cmp);
    let at = |part: f64| seconds.get((seconds.len() as f64 * part) as usize).copied().unwrap_or_default();
    (at(0.5), at(0.99))
}

fn said((median, p99): (f64, f64)) -> String {
    format!("{:.2} / {:.2} ms", median * 1e3, p99 * 1e3)
}
