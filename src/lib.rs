//! connstorm: a connection load generator for Linux that says when and why ephemeral ports run out.

pub mod address;
pub mod attempt;
pub mod capacity;
pub mod cli;
pub mod conduct;
pub mod diagnose;
pub mod engine;
pub mod kernel;
pub mod lab;
pub mod metrics;
pub mod observe;
pub mod protocol;
pub mod report;
pub mod scenario;
pub mod target;
