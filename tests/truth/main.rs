//! Compares verdicts with what packets do: fabrics are drawn, agents' engines run on them, and every word on which they
//! settle is compared with where a flow that enters their leaf ends.
//!
//! `plan`, `draw`, `extras` and `fault` define what is drawn; `speaker`, `state`, `arp` and `control` make a fabric of
//! it; `facts` and `cluster` are what the fabric shows; `agent` runs the engine on one leaf; `hold` compares, `shrink`
//! finds the smallest case, `run` counts, and `worlds` has the fabrics with a name. None of this shares a rule with the
//! agent.

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
