//! Training data: rows as files and the store have them, before any tokenizer has seen them.

mod build;
mod messages;
mod read;
mod row;

pub use self::{
    build::{Choice, Dropped, PairRules, Plan, Run, plan_pairs, plan_runs},
    messages::{conversation, split_prompt},
    read::{ReadReport, RowError, RowErrorKind, read_rows},
    row::{Content, Context, Row, Text},
};
