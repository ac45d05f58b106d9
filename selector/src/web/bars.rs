//! A probability as a bar: SVG with attributes, since the content policy forbids inline styles.

use super::markup::Markup;

/// A bar filled to `p`; nothing where there is no probability. The number stands beside it as text.
pub(super) fn bar(p: Option<f64>) -> Markup {
    let mut out = Markup::default();
    if let Some(p) = p.filter(|p| p.is_finite()) {
        out.tag(
            "<svg class=\"bar\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
        );
        out.tag("<rect class=\"bg\" width=\"100\" height=\"8\"/><rect class=\"fg\" height=\"8\" width=\"");
        out.number((p * 100.0).round().clamp(0.0, 100.0) as usize);
        out.tag("\"/></svg>");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_between_0_and_100() {
        assert!(bar(Some(0.625)).to_string().contains("width=\"63\""));
        assert!(bar(Some(7.0)).to_string().contains("width=\"100\"/></svg>"));
        assert_eq!(bar(Some(f64::NAN)).to_string(), "");
        assert_eq!(bar(None).to_string(), "");
    }
}
