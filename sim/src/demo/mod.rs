//! Scripted demos: show a lab, break and heal it step by step, and compare what every leaf reports with what it should.

mod file;
mod run;
mod survey;
mod table;
#[cfg(test)]
mod tests;

pub use file::Demo;
pub use run::{DemoError, run};
pub use survey::{Difference, Survey};

pub(crate) use run::Stage;
pub(crate) use survey::survey;
pub(crate) use table::Screen;
