//! What commands print and write.

pub mod atomic;
pub mod preds;
pub mod progress;
pub mod table;
