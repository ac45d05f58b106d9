//! From paths to issues with their candidates and evidence.

pub mod attach;
pub mod gather;
pub mod group;
pub mod labelled;
pub mod load;
pub mod shared_args;
pub mod walk;
