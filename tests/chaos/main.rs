//! Tests that faults do no harm: peers that vanish, stall or send garbage, a full disk, a changed clock, and all at
//! once.
//!
//! `bench` starts the anycast lab and waits for what leaves must report. `order`, `half_open`, `disk` and `clock` test
//! one kind of fault each. `random` runs a `schedule` of `fault`s drawn from a seed, while `watch` compares every leaf
//! with the emulator's own state, and `process` reads the kernel's counters.

mod bench;
mod clock;
mod disk;
mod fault;
mod half_open;
mod order;
mod process;
mod random;
mod schedule;
mod soak;
mod watch;
