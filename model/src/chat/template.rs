//! A compiled chat template and its rendering, as transformers' sandboxed Jinja does it.

use minijinja::{
    Environment, Error, ErrorKind, State, UndefinedBehavior,
    syntax::SyntaxConfig,
    value::{Kwargs, Value, ValueKind},
};

use super::{clock::Moment, json, python, source};

/// Templates larger than this are refused, in bytes.
const LARGEST: usize = 1 << 20;
/// Steps that every rendering may take; an endless loop ends within a second or two.
const FUEL: u64 = 10_000_000;
/// Further steps for each byte of input.
const FUEL_PER_BYTE: u64 = 40;
const NAME: &str = "chat_template";
const MARKS: &str = "__marks__";

/// Why a template cannot be compiled or rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Larger than anything that is a chat template.
    #[error("{0} bytes; at most {LARGEST} are read")]
    TooLarge(usize),
    /// Not a template.
    #[error("syntax error: {0}")]
    Syntax(String),
    /// The template called `raise_exception`.
    #[error("the template refuses the conversation: {0}")]
    Raised(String),
    /// The template takes more steps than any chat template needs.
    #[error("the template did not end after {0} steps; it may loop without end")]
    Endless(u64),
    /// Anything else that goes wrong while it runs.
    #[error("line {line}: {reason}")]
    Failed {
        /// Line of the template, 0 if unknown.
        line: usize,
        /// What went wrong.
        reason: String,
    },
}

/// What `raise_exception` was called with.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

/// What a template renders.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) variables: Vec<(String, Value)>,
    pub(super) now: Moment,
    /// Size of the input in bytes, which the fuel grows with.
    pub(super) bytes: usize,
}

/// A compiled chat template.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// As it was given.
    source: String,
    /// Whether it marks generated text by `{% generation %}` blocks.
    generation: bool,
}

impl ChatTemplate {
    /// Compiles a template.
    pub fn new(template: &str) -> Result<Self, TemplateError> {
        if template.len() > LARGEST {
            return Err(TemplateError::TooLarge(template.len()));
        }
        let prepared = source::prepare(template)?;
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_recursion_limit(100);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| TemplateError::Syntax(error.to_string()))?);
        environment.set_formatter(|out, _, value| write_value(out, value));
        environment.set_unknown_method_callback(python::method);
        environment.add_filter("tojson", tojson);
        environment.add_filter("trim", trim);
        environment.add_filter("default", default);
        environment.add_filter("d", default);
        environment.add_filter("int", int);
        environment.add_filter("float", float);
        environment.add_filter("e", escape);
        environment.add_filter("escape", escape);
        environment.add_filter(source::FILTER, mark);
        environment.add_test("callable", |value: &Value| {
            value.kind() == ValueKind::Plain
                || (value.as_object().is_some() && value.to_string().starts_with("<macro "))
        });
        environment.add_test("iterable", |value: &Value| {
            !matches!(value.kind(), ValueKind::None | ValueKind::Bool | ValueKind::Number)
        });
        // In Python whatever has a length and items is one: texts and mappings too.
        environment.add_test("sequence", |value: &Value| {
            matches!(value.kind(), ValueKind::Undefined | ValueKind::String | ValueKind::Seq | ValueKind::Map)
        });
        environment.add_function("raise_exception", raise);
        environment.add_function("strftime_now", strftime_now);
        environment.remove_global("debug");
        environment.add_template_owned(NAME, prepared.source).map_err(|error| syntax_error(&error))?;
        Ok(Self { environment, source: template.to_owned(), generation: prepared.generation })
    }

    /// The template as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it marks what the policy wrote by `{% generation %}` blocks.
    pub fn has_generation_blocks(&self) -> bool {
        self.generation
    }

    /// Renders; with `marks` each generation block's text stands between the two.
    pub(super) fn render(
        &self,
        context: &Context,
        marks: Option<[char; 2]>,
    ) -> Result<String, TemplateError> {
        let fuel = FUEL.saturating_add(FUEL_PER_BYTE.saturating_mul(context.bytes as u64));
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        let mut variables = context.variables.clone();
        variables.push((NOW.to_owned(), Value::from(context.now.0)));
        if let Some(marks) = marks {
            variables.push((MARKS.to_owned(), Value::from(marks.iter().collect::<String>())));
        }
        let template = environment.get_template(NAME).map_err(|error| syntax_error(&error))?;
        template.render(Value::from_pairs(variables)).map_err(|error| render_error(&error, fuel))
    }
}

const NOW: &str = "__now__";

fn syntax_error(error: &Error) -> TemplateError {
    let line = error.line().map_or_else(String::new, |line| format!("line {line}: "));
    TemplateError::Syntax(format!("{line}{}", detail(error)))
}

fn detail(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

fn render_error(error: &Error, fuel: u64) -> TemplateError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(Raised(message)) = inner.downcast_ref() {
            return TemplateError::Raised(message.clone());
        }
        if inner.downcast_ref::<Error>().is_some_and(|inner| inner.kind() == ErrorKind::OutOfFuel) {
            return TemplateError::Endless(fuel);
        }
        cause = inner.source();
    }
    TemplateError::Failed { line: error.line().unwrap_or(0), reason: detail(error) }
}

/// Prints a value as Python's `str` does.
fn write_value(out: &mut minijinja::Output, value: &Value) -> Result<(), Error> {
    let written = match value.kind() {
        ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
            Ok(number) => out.write_str(&python::float(number)),
            Err(_) => write!(out, "{value}"),
        },
        _ => write!(out, "{value}"),
    };
    written.map_err(|_| Error::new(ErrorKind::WriteFailure, "the text cannot be written"))
}

#[expect(clippy::needless_pass_by_value, reason = "what a filter takes")]
fn tojson(state: &State, value: &Value, ascii: Option<bool>, args: Kwargs) -> Result<Value, Error> {
    json::tojson(state, value, ascii, &args).map(Value::from)
}

fn trim(value: &Value, chars: Option<&str>) -> String {
    python::trim(&value.to_string(), chars)
}

#[expect(clippy::needless_pass_by_value, reason = "what a filter takes")]
fn default(value: &Value, other: Option<Value>, boolean: Option<bool>, args: Kwargs) -> Result<Value, Error> {
    let other = other.or(args.get("default_value")?).unwrap_or_else(|| Value::from(""));
    let boolean = boolean.or(args.get("boolean")?).unwrap_or(false);
    args.assert_all_used()?;
    Ok(if value.is_undefined() || (boolean && !value.is_true()) { other } else { value.clone() })
}

/// A number, or the default where there is none.
fn int(value: &Value, other: Option<i64>) -> Value {
    let text = value.as_str().map(|text| text.trim().replace('_', ""));
    let number = match text {
        Some(text) => text.parse().ok().or_else(|| text.parse().ok().map(|number: f64| number as i64)),
        None if value.is_integer() => return value.clone(),
        None if value.kind() == ValueKind::Bool => Some(i64::from(value.is_true())),
        None => f64::try_from(value.clone()).ok().map(|number| number as i64),
    };
    Value::from(number.unwrap_or(other.unwrap_or(0)))
}

fn float(value: &Value, other: Option<f64>) -> f64 {
    let number = match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None if value.kind() == ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        None => f64::try_from(value.clone()).ok(),
    };
    number.unwrap_or(other.unwrap_or(0.0))
}

/// As markupsafe writes it.
fn escape(value: &Value) -> Value {
    let mut out = String::new();
    for character in value.to_string().chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            other => out.push(other),
        }
    }
    Value::from_safe_string(out)
}

fn mark(state: &State, text: &str) -> String {
    let marks = state.lookup(MARKS);
    match marks.as_ref().and_then(Value::as_str).map(|marks| marks.chars().collect::<Vec<_>>()).as_deref() {
        Some([start, end]) => format!("{start}{text}{end}"),
        _ => text.to_owned(),
    }
}

fn raise(message: &Value) -> Result<Value, Error> {
    let message = message.to_string();
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
}

fn strftime_now(state: &State, format: &str) -> String {
    let now = state.lookup(NOW).and_then(|value| i64::try_from(value).ok());
    now.map_or_else(Moment::now, Moment).format(format)
}

#[cfg(test)]
mod tests;
