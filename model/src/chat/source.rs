//! `{% generation %}` blocks, which minijinja does not know, become filter blocks that mark their text.
//!
//! Jinja runs the body of such a block as a call block: what it sets does not leak, and its text is written where it
//! stands. A filter block around a `with` block does the same and leaves the white-space control of the tags alone.

use super::TemplateError;

/// The filter that puts marks around a generated text.
pub(super) const FILTER: &str = "__generated__";

/// A template's source for minijinja.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    pub(super) source: String,
    /// Whether it has generation blocks.
    pub(super) generation: bool,
}

/// Rewrites the generation tags of a template, and only those: not what looks like them in text, strings, comments or
/// raw blocks.
pub(super) fn prepare(source: &str) -> Result<Prepared, TemplateError> {
    let mut out = String::with_capacity(source.len() + 64);
    let (mut rest, mut open, mut generation) = (source, 0_usize, false);
    while let Some(start) = next_tag(rest) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = tag_end(rest);
        let tag = &rest[..end];
        rest = &rest[end..];
        match Tag::of(tag) {
            Some(Tag { name: "generation", left, right }) => {
                (open, generation) = (open + 1, true);
                out.extend(["{%", left, " filter ", FILTER, " %}{% with ", right, "%}"]);
            }
            Some(Tag { name: "endgeneration", left, right }) => {
                open = open.checked_sub(1).ok_or_else(|| unbalanced(source, rest))?;
                out.extend(["{%", left, " endwith %}{% endfilter ", right, "%}"]);
            }
            Some(Tag { name: "raw", .. }) => {
                let length = raw_end(rest);
                out.push_str(tag);
                out.push_str(&rest[..length]);
                rest = &rest[length..];
            }
            _ => out.push_str(tag),
        }
    }
    out.push_str(rest);
    if open > 0 {
        return Err(TemplateError::Syntax(
            "a `generation` block is not closed by `endgeneration`".to_owned(),
        ));
    }
    Ok(Prepared { source: out, generation })
}

fn unbalanced(source: &str, rest: &str) -> TemplateError {
    let line = source[..source.len() - rest.len()].lines().count();
    TemplateError::Syntax(format!("line {line}: `endgeneration` without `generation`"))
}

/// Where the next tag, expression or comment begins.
fn next_tag(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len().saturating_sub(1))
        .find(|at| bytes[*at] == b'{' && matches!(bytes[at + 1], b'{' | b'%' | b'#'))
}

/// The length of the tag, expression or comment at the start of `text`; all of it if it is not closed.
fn tag_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let close = match bytes[1] {
        b'#' => return text[2..].find("#}").map_or(text.len(), |at| at + 4),
        b'%' => *b"%}",
        _ => *b"}}",
    };
    let (mut quote, mut braces, mut at) = (None, 0_usize, 2);
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(mark), byte) if byte == mark => quote = None,
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, byte) if braces == 0 && byte == close[0] && bytes.get(at + 1) == Some(&close[1]) => {
                return at + 2;
            }
            (None, b'{') => braces += 1,
            (None, b'}') => braces = braces.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// The length of a raw block's text and end tag.
fn raw_end(text: &str) -> usize {
    let mut at = 0;
    while let Some(start) = text[at..].find("{%") {
        let start = at + start;
        let end = text[start..].find("%}").map_or(text.len(), |end| start + end + 2);
        if Tag::of(&text[start..end]).is_some_and(|tag| tag.name == "endraw") {
            return end;
        }
        at = start + 2;
    }
    text.len()
}

/// A block tag of one word.
struct Tag<'s> {
    name: &'s str,
    /// Its white-space control: empty, `-` or `+`.
    left: &'s str,
    right: &'s str,
}

impl<'s> Tag<'s> {
    fn of(tag: &'s str) -> Option<Self> {
        let inner = tag.strip_prefix("{%")?.strip_suffix("%}")?;
        let control = |at: Option<&'s str>| at.filter(|text| ["-", "+"].contains(text)).unwrap_or("");
        let left = control(inner.get(..1));
        let inner = &inner[left.len()..];
        let right = control(inner.len().checked_sub(1).and_then(|last| inner.get(last..)));
        Some(Self { name: inner[..inner.len() - right.len()].trim(), left, right })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(source: &str) -> String {
        prepare(source).unwrap().source
    }

    #[test]
    fn keeps_white_space_control() {
        assert_eq!(
            prepared("a {%- generation -%} b {%+ endgeneration %}\n"),
            "a {%- filter __generated__ %}{% with -%} b {%+ endwith %}{% endfilter %}\n"
        );
        assert_eq!(
            prepared("{%generation%}{%endgeneration-%}"),
            prepared("{% generation %}{% endgeneration -%}")
        );
    }

    #[test]
    fn leaves_everything_else_alone() {
        for source in [
            "generation {% if generation %}{% endif %}",
            "{{ '{% generation %}' }}",
            "{# {% generation %} #}",
            "{% raw %}{% generation %}{{ '{% endraw %}",
            "{% set x = '%}{% generation %}' %}",
            "{{ {'a': {'b': '{% generation %}'}} }}",
            "{% unclosed",
            "{",
        ] {
            assert_eq!(prepare(source).unwrap(), Prepared { source: source.to_owned(), generation: false });
        }
        assert_eq!(
            prepared("{% raw %}{% generation %}{% endraw %}{% generation %}{% endgeneration %}"),
            format!(
                "{{% raw %}}{{% generation %}}{{% endraw %}}{}",
                prepared("{% generation %}{% endgeneration %}")
            )
        );
    }

    #[test]
    fn wants_pairs() {
        assert!(prepare("{% generation %}").is_err());
        assert!(prepare("a\n{% endgeneration %}").unwrap_err().to_string().contains("line 2"));
    }
}
