//! Samples of the kernel's state over time, and the detectors of onsets over them.
