//! Training data: rows as files and the store have them, and as tokens with those marked that carry a loss.

mod build;
mod encode;
mod make;
mod messages;
mod read;
mod row;

pub use self::{
    build::{Choice, Dropped, Needs, PairRules, Plan, Run, RunRules, plan_pairs, plan_runs},
    encode::{
        EncodeError, EncodeRules, Encoded, Encoder, Judged, Mask, OverLong, Shortened, Tokens, mismatched,
    },
    make::{RowKind, converted, demonstration_row, labelled_row, pair_row, row_json, verifier_row},
    messages::{clean, conversation, split_prompt},
    read::{LoadRowsError, Loaded, RowError, RowErrorKind, load_rows, parse_rows},
    row::{Content, Context, Row, Text, unpaired},
};
