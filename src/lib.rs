//! connstorm: a connection load generator for Linux that says when and why ephemeral ports run out.

pub mod capacity;
pub mod cli;
pub mod diagnose;
pub mod doctor;
pub mod engine;
pub mod find;
pub mod host;
pub mod lab;
pub mod linux;
pub mod model;
pub mod observe;
pub mod plan;
pub mod protocol;
pub mod report;
pub mod result;
pub mod run;
pub mod server;
