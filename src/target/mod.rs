//! Targets: what `connstorm serve` and a scenario's `[serve]` table run.
