//! What trains: rows in, passes over the model, steps on its parameters, checkpoints out.
//!
//! Pure parts decide: [`order`] which rows a step has, [`forest`] and [`pass`] what is computed together, [`judge`] what
//! the objective makes of it, [`schedule`] how far the step goes. [`session`] does a step with them, [`training`] a run.

mod alarms;
mod card;
mod checkpoint;
mod devices;
pub(crate) mod example;
mod figures;
mod forest;
mod judge;
mod learner;
mod load;
mod memory;
pub(crate) mod mismatch;
pub(crate) mod order;
mod pass;
mod prepare;
mod records;
mod reference;
mod schedule;
mod session;
pub(crate) mod setup;
mod tensorboard;
mod training;

pub use training::Native;
