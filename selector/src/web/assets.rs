//! The style sheet, the script and the icon, compiled in: the page needs no build step and no other host.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

const STYLE: &[u8] = include_bytes!("../../assets/style.css");
/// htmx 2.0.11, unchanged; its licence (0BSD) lies beside it.
const HTMX: &[u8] = include_bytes!("../../assets/htmx-2.0.11.min.js");
const ICON: &[u8] = include_bytes!("../../assets/icon.svg");

/// Addresses of the assets. They hold a hash of the content, so browsers may keep them for good.
#[derive(Debug)]
pub(super) struct Chrome {
    pub(super) style: String,
    pub(super) htmx: String,
    pub(super) icon: String,
}

static CHROME: LazyLock<Chrome> = LazyLock::new(|| {
    let address = |name: &str, content: &[u8]| {
        let hash = blake3::hash(content).to_hex();
        format!("/assets/{name}?v={}", &hash[..10])
    };
    Chrome {
        style: address("style.css", STYLE),
        htmx: address("htmx.js", HTMX),
        icon: address("icon.svg", ICON),
    }
});

impl Chrome {
    pub(super) fn get() -> &'static Self {
        &CHROME
    }
}

/// `GET /assets/{name}`.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let (kind, content) = match name.as_str() {
        "style.css" => ("text/css; charset=utf-8", STYLE),
        "htmx.js" => ("text/javascript; charset=utf-8", HTMX),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, super::respond::RAW_POLICY),
    ];
    (headers, content).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    const TEXT_ON_GROUND: [(&str, &[&str]); 12] = [
        ("ink", &["bg", "card", "band", "pick-bg", "warn-bg", "add", "del", "add-word", "del-word"]),
        ("soft", &["bg", "card", "band", "pick-bg", "hunk"]),
        ("accent", &["bg", "card", "band", "pick-bg"]),
        ("accent-ink", &["accent"]),
        ("pick", &["pick-bg", "band", "card"]),
        ("good", &["good-bg", "card", "pick-bg", "band"]),
        ("bad", &["bad-bg", "card", "pick-bg", "band"]),
        ("hc", &["card", "add", "del"]),
        ("hs", &["card", "add", "del", "add-word", "del-word"]),
        ("hk", &["card", "add", "del", "add-word", "del-word"]),
        ("hn", &["card", "add", "del"]),
        ("hf", &["card", "add", "del", "add-word", "del-word"]),
    ];

    /// The colours of the first or second `:root` block.
    fn colours(block: usize) -> BTreeMap<String, [f64; 3]> {
        let style = std::str::from_utf8(super::STYLE).unwrap();
        let text = style.split(":root {").nth(block + 1).unwrap().split('}').next().unwrap();
        let pairs = text.split(';').filter_map(|part| part.trim().strip_prefix("--")?.split_once(": #"));
        pairs
            .map(|(name, hex)| {
                let digits: Vec<u32> = hex.chars().map(|c| c.to_digit(16).unwrap()).collect();
                let channel = |i: usize| match digits.len() {
                    3 => digits[i] * 17,
                    _ => digits[2 * i] * 16 + digits[2 * i + 1],
                };
                (name.to_owned(), [0, 1, 2].map(|i| f64::from(channel(i)) / 255.0))
            })
            .collect()
    }

    /// Relative luminance as WCAG 2 defines it.
    fn luminance(colour: [f64; 3]) -> f64 {
        let linear = |c: f64| if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
        0.2126 * linear(colour[0]) + 0.7152 * linear(colour[1]) + 0.0722 * linear(colour[2])
    }

    #[test]
    fn text_is_readable_in_light_and_dark() {
        let mut poor = Vec::new();
        for block in 0..2 {
            let colours = colours(block);
            for (text, grounds) in TEXT_ON_GROUND {
                for ground in grounds {
                    let pair = [text, ground].map(|name| luminance(colours[name]));
                    let (low, high) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
                    let contrast = (high + 0.05) / (low + 0.05);
                    if contrast < 4.5 {
                        poor.push(format!("{text} on {ground}, block {block}: {contrast:.2}"));
                    }
                }
            }
        }
        assert!(poor.is_empty(), "{poor:#?}");
    }
}
