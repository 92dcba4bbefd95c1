//! The session against an NDK of the test's own.
