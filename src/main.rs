//! The `connstorm` program: parse, run, exit code.
fn main() {}
