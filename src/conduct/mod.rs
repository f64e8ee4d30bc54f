//! A run with everything around it.
