//! Logs as JSON, one object a line: the event's fields and under them those of its spans, so that every line of a
//! request has its id and the id of its trace.

use std::{fmt, io::Write as _};

use serde::Serialize;
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

/// The fields of a span, as they were last recorded: names and JSON.
#[derive(Debug, Default)]
struct SpanFields(Vec<(&'static str, Vec<u8>)>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = SpanFields::default();
        attributes.record(&mut Each(|name, value: &dyn Put| fields.set(name, value)));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<SpanFields>() {
            values.record(&mut Each(|name, value: &dyn Put| fields.set(name, value)));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Line::new();
        let mut time = String::new();
        // Writing to a string cannot fail.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let metadata = event.metadata();
        line.field("timestamp", &time);
        line.field("level", &metadata.level().as_str());
        event.record(&mut Each(|name, value: &dyn Put| line.field(name, value)));
        // The nearest span wins where several have a field, and the event over all of them.
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(SpanFields(fields)) = span.extensions().get() {
                for (name, value) in fields {
                    line.field(name, &Ready(value));
                }
            }
        }
        line.field("target", &metadata.target());
        // Whole lines in one call, so that those of several threads do not mix. A closed pipe ends nothing.
        let _ = std::io::stderr().lock().write_all(&line.end());
    }
}

impl SpanFields {
    fn set(&mut self, name: &'static str, value: &dyn Put) {
        let mut json = Vec::new();
        value.put(&mut json);
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = json,
            None => self.0.push((name, json)),
        }
    }
}

/// A line that grows by fields; of those with one name the first counts.
struct Line {
    text: Vec<u8>,
    names: Vec<&'static str>,
}

impl Line {
    fn new() -> Self {
        Self { text: Vec::with_capacity(512), names: Vec::with_capacity(16) }
    }

    fn field(&mut self, name: &'static str, value: &dyn Put) {
        if self.names.contains(&name) {
            return;
        }
        self.text.push(if self.names.is_empty() { b'{' } else { b',' });
        self.names.push(name);
        name.put(&mut self.text);
        self.text.push(b':');
        value.put(&mut self.text);
    }

    fn end(mut self) -> Vec<u8> {
        self.text.extend_from_slice(b"}\n");
        self.text
    }
}

/// Something that can be written as JSON.
trait Put {
    fn put(&self, to: &mut Vec<u8>);
}

impl<T: Serialize> Put for T {
    fn put(&self, to: &mut Vec<u8>) {
        // Strings and numbers serialise, and a vector takes all there is.
        let _ = serde_json::to_writer(to, self);
    }
}

/// What is JSON already.
struct Ready<'a>(&'a [u8]);

impl Put for Ready<'_> {
    fn put(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.0);
    }
}

/// Does something with each field, save those that only traces are interested in.
struct Each<F>(F);

impl<F: FnMut(&'static str, &dyn Put)> Each<F> {
    fn put(&mut self, field: &Field, value: &dyn Put) {
        let name = field.name();
        if !is_of_traces(field) && !name.starts_with("log.") {
            self.0(name, value);
        }
    }
}

impl<F: FnMut(&'static str, &dyn Put)> Visit for Each<F> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, &value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, &crate::problem::chain(value));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_first_of_a_name_counts_in_a_line_and_the_last_in_a_span() {
        let mut span = SpanFields::default();
        span.set("id", &"a");
        span.set("route", &"/x");
        span.set("id", &"b\n\"");
        let mut line = Line::new();
        line.field("level", &"INFO");
        line.field("ms", &f64::NAN);
        line.field("route", &"/y");
        for (name, value) in &span.0 {
            line.field(name, &Ready(value));
        }
        let text = line.end();
        assert_eq!(text.iter().position(|byte| *byte == b'\n'), Some(text.len() - 1), "one line");
        let line: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(line, json!({"level": "INFO", "ms": null, "route": "/y", "id": "b\n\""}));
    }
}
