//! Trains policies and verifiers from preferences over whole, tool-using trajectories.

pub mod closed_form;
pub mod data;
pub mod objectives;
