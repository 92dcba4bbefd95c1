//! What the engine says, by behaviour.

mod absorbing;
mod announcers;
mod causes;
mod dump;
mod fib;
mod fixtures;
mod resources;
