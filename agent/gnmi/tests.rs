//! The source against a gNMI server of the test's own.
