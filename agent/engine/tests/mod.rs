//! What the engine says, by behaviour.

mod absorbing;
mod announcers;
mod causes;
mod dump;
mod fixtures;
mod resources;
mod rows;
