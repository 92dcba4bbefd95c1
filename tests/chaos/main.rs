//! What must not hurt: peers that vanish, stall or talk nonsense, a full disk, a clock that is set, and all of it at once.
//!
//! `bench` starts the anycast lab and waits for what leaves should say. `order`, `half_open`, `disk` and `clock` are about
//! one kind of trouble each. `random` runs a `schedule` of `fault`s drawn from a seed while `watch` holds every leaf
//! against the emulator's own truth, and `process` against the kernel's counts.

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
