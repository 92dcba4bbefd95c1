//! Compares the documentation with what it describes: links, the YANG module, the Makefile, flags, levers, the CLI of a
//! leaf, and the sentences in the code. Every test reports all errors at once, by page and line.

mod causes;
mod commands;
mod coverage;
mod lab;
mod links;
mod pages;
mod security;
mod sentences;
mod style;
mod switch;
mod typed;
