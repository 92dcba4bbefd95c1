//! Tests of the embedded cluster from the point of view of its users: client libraries, kubectl, and the rest of the
//! emulator.

mod client;
mod controllers;
mod faults;
mod kubectl;
mod support;
