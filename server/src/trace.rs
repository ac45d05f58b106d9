//! A request's place in a distributed trace: taken from a caller, handed on to other services, kept with a job.
//!
//! With a collector every request has a trace. Without one, a caller's trace is still handed on, so that services
//! behind this one belong to it.

use std::fmt;

use http::HeaderMap;
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use tokio::{runtime::Handle, task::JoinHandle};
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The header of W3C Trace Context.
pub const TRACEPARENT: http::HeaderName = http::HeaderName::from_static("traceparent");

/// A place in a trace, as the header `traceparent` has it (W3C Trace Context, version 00).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace: TraceId,
    span: SpanId,
    flags: TraceFlags,
}

impl TraceParent {
    /// Reads a header; `None` when it is malformed.
    pub fn parse(header: &str) -> Option<Self> {
        let hex = |part: &str, len: usize| {
            part.len() == len && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let mut parts = header.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Later versions may append fields; 00 may not, and ff is forbidden.
        let well_formed = hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
        if !(well_formed && hex(trace, 32) && hex(span, 16) && hex(flags, 2)) {
            return None;
        }
        let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
        // Only the lowest bit has a meaning in version 00.
        let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
        (trace != TraceId::INVALID && span != SpanId::INVALID).then_some(Self { trace, span, flags })
    }

    /// That of a request; `None` when there is none, or more than one.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Self::parse(value.to_str().ok()?),
            _ => None,
        }
    }

    /// The id of the trace: 32 hex digits.
    pub fn trace_id(&self) -> String {
        self.trace.to_string()
    }

    fn context(self) -> SpanContext {
        SpanContext::new(self.trace, self.span, self.flags, true, TraceState::NONE)
    }
}

impl From<&SpanContext> for TraceParent {
    fn from(context: &SpanContext) -> Self {
        let flags = context.trace_flags() & TraceFlags::SAMPLED;
        Self { trace: context.trace_id(), span: context.span_id(), flags }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }
}

tokio::task_local! {
    /// The caller's place, for processes that make no spans of their own.
    static CALLER: TraceParent;
}

/// Where the code that runs now is: what to hand on. `None` outside of every trace.
pub fn current() -> Option<TraceParent> {
    of_span(&Span::current()).or_else(|| CALLER.try_with(|caller| *caller).ok())
}

/// The place of a span; `None` when it is not part of a trace, as in a process without a collector.
pub fn of_span(span: &Span) -> Option<TraceParent> {
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_valid().then(|| TraceParent::from(&context))
}

/// Makes a span that has just begun a child of `parent`, and notes the trace in its field `trace_id` for the log.
pub fn adopt(span: &Span, parent: Option<TraceParent>) {
    if let Some(parent) = parent {
        // Fails where spans are not traced, which is what is wanted then.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent.context()));
    }
    if let Some(place) = of_span(span).or(parent) {
        span.record("trace_id", place.trace_id());
    }
}

/// Points from a span to another one that it has to do with without being part of it.
pub fn link(span: &Span, to: TraceParent) {
    span.add_link(to.context());
}

/// Gives a span of a trace a name of its own; in logs it keeps the one that it has in the code.
pub fn rename(span: &Span, name: &str) {
    span.context().span().update_name(name.to_owned());
}

/// Sets attributes of a span in the trace that the log has no use for.
pub fn attribute(span: &Span, key: &'static str, value: impl Into<opentelemetry::Value>) {
    span.set_attribute(key, value);
}

/// Runs a future as part of the caller's trace, so that [`current`] finds it there.
pub async fn with_caller<T>(caller: Option<TraceParent>, future: impl Future<Output = T>) -> T {
    match caller {
        Some(caller) => CALLER.scope(caller, future).await,
        None => future.await,
    }
}

/// Starts a task that belongs to what runs now: its span and its trace go along. Aborted tasks aside, it ends whether
/// or not anybody waits for it.
pub fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    spawn_on(&Handle::current(), future)
}

/// The same on another runtime.
pub(crate) fn spawn_on<T: Send + 'static>(
    runtime: &Handle,
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let caller = CALLER.try_with(|caller| *caller).ok();
    runtime.spawn(with_caller(caller, future).in_current_span())
}

/// Runs work that blocks on a thread of its own; what it logs belongs to the span of whoever asked.
pub fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let span = Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn traceparent_is_checked() {
        let parsed = TraceParent::parse(GOOD).unwrap();
        assert_eq!(parsed.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parsed.to_string(), GOOD);
        // A later version may have more fields and flags; what is handed on is version 00.
        let later = TraceParent::parse(&format!("01{}-more", GOOD[2..].replace("-01", "-ff"))).unwrap();
        assert_eq!(later, parsed);
        for bad in [
            "",
            "00-4bf9-00f0-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn one_header_counts_and_is_handed_on_without_a_collector() {
        let mut headers = HeaderMap::new();
        assert_eq!(TraceParent::of(&headers), None);
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        let caller = TraceParent::of(&headers);
        assert_eq!(caller.map(|caller| caller.to_string()).as_deref(), Some(GOOD));
        assert_eq!(with_caller(caller, async { current() }).await, caller);
        assert_eq!(current(), None);
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_eq!(TraceParent::of(&headers), None, "two are none");
    }
}
