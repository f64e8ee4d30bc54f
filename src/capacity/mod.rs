//! The capacity planner: formulas of ports, TIME_WAIT, descriptors and memory. Pure.
