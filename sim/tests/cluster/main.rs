//! The embedded cluster, seen by those who use it: client libraries, kubectl, and the rest of the emulator.

mod client;
mod controllers;
mod faults;
mod kubectl;
mod support;
