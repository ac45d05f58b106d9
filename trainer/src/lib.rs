//! Trains policies and verifiers from preferences over whole, tool-using trajectories.

pub mod objectives;
