//! Verdicts held against what packets do: fabrics are drawn, agents' engines run over them, and every word they settle on
//! is compared with where a flow ends that enters their leaf.
//!
//! `plan`, `draw`, `extras` and `fault` are what is drawn; `speaker`, `state`, `arp` and `control` make a fabric of it; `facts` and
//! `cluster` are what it shows; `agent` runs the engine on one leaf; `hold` compares, `shrink` finds the smallest case,
//! `run` counts, `worlds` has those with a name. None of it shares a rule with the agent.

mod agent;
mod arp;
mod cluster;
mod control;
mod draw;
mod extras;
mod facts;
mod fault;
mod hold;
mod plan;
mod rng;
mod run;
mod shrink;
mod speaker;
mod state;
mod worlds;
