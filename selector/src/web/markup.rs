//! HTML that is known to be safe, and the only place where text becomes it.

use std::fmt;

use askama::filters::HtmlSafe;

/// HTML built from escaped text and fixed tags. Templates print it as it is; there is no way to put raw text in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Markup(String);

impl Markup {
    /// Adds text, escaped for use between tags and inside quoted attributes.
    pub(super) fn text(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            self.0.push_str(&rest[..at]);
            self.0.push_str(match rest.as_bytes()[at] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                _ => "&#39;",
            });
            rest = &rest[at + 1..];
        }
        self.0.push_str(rest);
    }

    /// Adds text inside a `<span>` of a fixed class.
    pub(super) fn span(&mut self, class: &'static str, text: &str) {
        self.tag("<span class=\"");
        self.tag(class);
        self.tag("\">");
        self.text(text);
        self.tag("</span>");
    }

    /// Adds fixed markup. `'static` keeps anything that came from a request out.
    pub(super) fn tag(&mut self, html: &'static str) {
        self.0.push_str(html);
    }

    /// Adds markup that was built the same way.
    pub(super) fn push(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Adds a number.
    pub(super) fn number(&mut self, number: usize) {
        use fmt::Write as _;
        write!(self.0, "{number}").expect("writing to a string cannot fail");
    }
}

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Markup {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_everywhere() {
        let mut m = Markup::default();
        m.text("a<b>&\"'é");
        m.span("k", "</span><script>");
        assert_eq!(
            m.to_string(),
            "a&lt;b&gt;&amp;&quot;&#39;é<span class=\"k\">&lt;/span&gt;&lt;script&gt;</span>"
        );
    }
}
