//! The web page: selections, their candidates side by side, and the form that reports outcomes.
//!
//! Rendered on the server with askama, made smooth with htmx, and usable without JavaScript. Modules are pure (data
//! in, HTML out) except `load`, which reads the store, and `routes`. What agents wrote passes through `text` (escape
//! sequences, hidden characters) and is escaped by askama or by `markup`, the only two ways into a page; the content
//! policy in `respond` is the second line of defence.

mod assets;
mod bars;
mod data;
mod diff;
mod highlight;
#[cfg(test)]
mod hostile_tests;
mod links;
mod list_view;
mod load;
mod markup;
mod matrix;
mod origin;
mod outcome_form;
mod pages;
#[cfg(test)]
mod pages_tests;
mod panel;
mod respond;
mod routes;
#[cfg(test)]
mod routes_tests;
#[cfg(test)]
mod sample;
mod selection_view;
mod text;
mod turns;

pub use routes::router;
