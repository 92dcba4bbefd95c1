//! Tests with the gNMI clients gnmic, pygnmi and fcli on an emulated leaf that runs the agent. They need neither root
//! nor network namespaces.
//!
//! `calls` tests Capabilities, Get and Set, `streams` Subscribe, `documented` the examples of the docs, `collector`
//! gnmic as it is shipped to run for a fabric, and `fleet` a tool that asks all switches of a fabric.

mod calls;
mod clients;
mod collector;
mod documented;
mod fleet;
mod streams;
