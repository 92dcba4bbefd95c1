//! gNMI clients that are not ours, gnmic, pygnmi and fcli, on an emulated leaf that runs the agent. They need neither root nor
//! network namespaces.
//!
//! `calls` has Capabilities, Get and Set, `streams` Subscribe, `documented` what the docs show, `collector` gnmic as it is
//! shipped to run for a fabric, `fleet` a tool that asks all switches of one.

mod calls;
mod clients;
mod collector;
mod documented;
mod fleet;
mod streams;
