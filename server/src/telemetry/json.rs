//! Logs as JSON, one object a line: the event's fields and under them those of its spans, so that every line of a
//! request has its id and the id of its trace.

use std::{fmt, io::Write as _};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    fmt::{
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    layer::Context,
    registry::LookupSpan,
};

use super::fields::is_of_traces;

/// Writes a line for each event.
#[derive(Debug, Default)]
pub(super) struct JsonLines(());

/// The fields of a span, as they were last recorded.
struct SpanFields(Map<String, Value>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Map::new();
        attributes.record(&mut Taken(&mut fields));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(SpanFields(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(SpanFields(fields)) = span.extensions_mut().get_mut() {
            values.record(&mut Taken(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        let mut time = String::new();
        // Writing to a string cannot fail.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let metadata = event.metadata();
        line.insert("timestamp".to_owned(), time.into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        event.record(&mut Taken(&mut line));
        // The nearest span wins where several have a field, and the event over all of them.
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(SpanFields(fields)) = span.extensions().get() {
                for (name, value) in fields {
                    line.entry(name).or_insert_with(|| value.clone());
                }
            }
        }
        line.entry("target").or_insert_with(|| metadata.target().into());
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        // Whole lines in one call, so that those of several threads do not mix. A closed pipe ends nothing.
        let _ = std::io::stderr().lock().write_all(&text);
    }
}

/// Collects fields.
struct Taken<'a>(&'a mut Map<String, Value>);

impl Taken<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        let name = field.name();
        if !is_of_traces(field) && !name.starts_with("log.") {
            self.0.insert(name.to_owned(), value);
        }
    }
}

impl Visit for Taken<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, crate::problem::chain(value).into());
    }
}
