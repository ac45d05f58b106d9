//! Fields of spans in text logs, without those that only traces are interested in.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::{RecordFields, VisitOutput as _},
    fmt::{
        FormatFields,
        format::{DefaultVisitor, Writer},
    },
};

/// Whether a field steers the span's form in a trace, such as `otel.kind`.
pub(super) fn is_of_traces(field: &Field) -> bool {
    field.name().starts_with("otel.")
}

/// The usual format, without fields such as `otel.kind`.
#[derive(Debug, Clone, Copy)]
pub(super) struct WithoutTraceFields;

impl<'writer> FormatFields<'writer> for WithoutTraceFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut rest = Rest(DefaultVisitor::new(writer, true));
        fields.record(&mut rest);
        rest.0.finish()
    }
}

struct Rest<'a>(DefaultVisitor<'a>);

impl Visit for Rest<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !is_of_traces(field) {
            self.0.record_debug(field, value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if !is_of_traces(field) {
            self.0.record_str(field, value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        if !is_of_traces(field) {
            self.0.record_error(field, value);
        }
    }
}
