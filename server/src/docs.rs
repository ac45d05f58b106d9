//! `/openapi.json` and `/docs`, the same as a page: rendered here, without scripts, so that it works offline.

use std::fmt::Write as _;

use axum::{Router, response::Html, routing::get};
use http::header;
use serde_json::Value;
use utoipa::{
    Modify,
    openapi::{
        OpenApi,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::problem::Kind;

/// Adds API tokens, as `token`, to the ways in which a service's document says that callers are known.
#[derive(Debug)]
pub struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, api: &mut OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "An API token. Not needed on a loopback address unless `auth.mode` asks for it.",
            ))
            .build();
        api.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

const STYLE: &str = include_str!("docs.css");

pub(crate) fn routes(api: &OpenApi) -> Router {
    let json = bytes::Bytes::from(api.to_json().expect("an OpenAPI document serialises"));
    let value: Value = serde_json::from_slice(&json).expect("the document was just serialised");
    let page: Html<bytes::Bytes> = Html(page(&value).into());
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    Router::new()
        .route("/openapi.json", get(async move || ([(header::CONTENT_TYPE, "application/json")], json)))
        .route("/docs", get(async move || ([(header::CONTENT_SECURITY_POLICY, policy)], page)))
}

/// The page: endpoints, then types, then the kinds of problems that errors link to.
fn page(api: &Value) -> String {
    let title = escape(api["info"]["title"].as_str().unwrap_or("API"));
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style><main><h1>{title} <small>{}</small></h1><p>{}</p>\
         <p>The same for machines: <a href=\"/openapi.json\">/openapi.json</a>. \
         <a href=\"#types\">Types</a>, <a href=\"#problems\">problems</a>.</p>",
        text(&api["info"]["version"]),
        prose(&api["info"]["description"]),
    );
    for (path, item) in api["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            if operation.is_object() {
                endpoint(&mut html, path, method, operation);
            }
        }
    }
    html.push_str("<h2 id=types>Types</h2>");
    for (name, schema) in api["components"]["schemas"].as_object().into_iter().flatten() {
        let name = escape(name);
        let _ = write!(
            html,
            "<section id=\"type-{name}\"><h3>{name}</h3><p>{}</p>",
            prose(&schema["description"])
        );
        schema_body(&mut html, schema);
        html.push_str("</section>");
    }
    html.push_str("<h2 id=problems>Problems</h2><dl>");
    for kind in Kind::ALL {
        let _ = write!(
            html,
            "<dt id=\"problem-{}\"><code>{}</code> {}: {}</dt><dd>{}</dd>",
            kind.slug(),
            kind.slug(),
            kind.status().as_u16(),
            escape(kind.title()),
            code_spans(kind.help()),
        );
    }
    html.push_str("</dl></main></html>");
    html
}

fn endpoint(html: &mut String, path: &str, method: &str, operation: &Value) {
    let _ = write!(
        html,
        "<section><h2><span class=method>{}</span> <code>{}</code></h2><p><b>{}</b></p><p>{}</p>",
        escape(&method.to_uppercase()),
        escape(path),
        text(&operation["summary"]),
        prose(&operation["description"]),
    );
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !parameters.is_empty() {
        html.push_str("<table><tr><th>Parameter<th>In<th>Type<th></tr>");
        for parameter in parameters {
            let _ = write!(
                html,
                "<tr><td><code>{}</code>{}<td>{}<td>{}<td>{}</tr>",
                text(&parameter["name"]),
                required(parameter["required"].as_bool() == Some(true)),
                text(&parameter["in"]),
                type_name(&parameter["schema"]),
                prose(&parameter["description"]),
            );
        }
        html.push_str("</table>");
    }
    let body = &operation["requestBody"]["content"];
    for (media, content) in body.as_object().into_iter().flatten() {
        let _ = write!(html, "<p>Body: {} ({})</p>", type_name(&content["schema"]), escape(media));
    }
    html.push_str("<table><tr><th>Status<th>Body<th></tr>");
    let mut problems = Vec::new();
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let content = response["content"].as_object().and_then(|content| content.iter().next());
        if content.is_some_and(|(media, _)| media == crate::problem::PROBLEM_JSON) {
            problems.push(escape(status));
            continue;
        }
        let body = content.map_or_else(String::new, |(media, content)| {
            format!("{} ({})", type_name(&content["schema"]), escape(media))
        });
        let _ =
            write!(html, "<tr><td>{}<td>{body}<td>{}</tr>", escape(status), prose(&response["description"]));
    }
    if !problems.is_empty() {
        let _ = write!(
            html,
            "<tr><td>{}<td><a href=\"#problems\">Problem</a><td>an error</tr>",
            problems.join(", ")
        );
    }
    html.push_str("</table></section>");
}

fn schema_body(html: &mut String, schema: &Value) {
    // A flattened struct is an `allOf` of the parts.
    for part in schema["allOf"].as_array().into_iter().flatten() {
        if part["$ref"].is_string() {
            let _ = write!(html, "<p>With all of {}.</p>", type_name(part));
        }
        schema_body(html, part);
    }
    if let Some(properties) = schema["properties"].as_object() {
        let needed: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        html.push_str("<table><tr><th>Field<th>Type<th></tr>");
        for (name, property) in properties {
            let _ = write!(
                html,
                "<tr><td><code>{}</code>{}<td>{}<td>{}</tr>",
                escape(name),
                required(needed.contains(&name.as_str())),
                type_name(property),
                prose(&property["description"]),
            );
        }
        html.push_str("</table>");
    } else if schema["allOf"].is_null() {
        let _ = write!(html, "<p>{}</p>", type_name(schema));
    }
}

/// A schema in one line, with links to the named types in it.
fn type_name(schema: &Value) -> String {
    if let Some(target) = schema["$ref"].as_str() {
        let name = escape(target.rsplit('/').next().unwrap_or(target));
        return format!("<a href=\"#type-{name}\">{name}</a>");
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        if let Some(options) = schema[key].as_array() {
            return options.iter().map(type_name).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        return values
            .iter()
            .map(|value| format!("<code>{}</code>", text(value)))
            .collect::<Vec<_>>()
            .join(", ");
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("list of {}", type_name(&schema["items"])),
        Value::String(name) if name == "object" && schema["additionalProperties"].is_object() => {
            format!("map of {}", type_name(&schema["additionalProperties"]))
        }
        Value::String(name) => escape(name),
        Value::Array(names) => {
            let inner = |name: &Value| match name.as_str() {
                Some("array") => format!("list of {}", type_name(&schema["items"])),
                _ => text(name),
            };
            names.iter().map(inner).collect::<Vec<_>>().join(" or ")
        }
        _ => "anything".to_owned(),
    }
}

fn required(required: bool) -> &'static str {
    if required { " <em>required</em>" } else { "" }
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn prose(value: &Value) -> String {
    code_spans(value.as_str().unwrap_or_default())
}

/// Escapes text and turns `code` spans and blank lines into HTML.
fn code_spans(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in escape(text).split('`').enumerate() {
        match index % 2 {
            0 => html.push_str(&part.replace("\n\n", "<p>")),
            _ => {
                let _ = write!(html, "<code>{part}</code>");
            }
        }
    }
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_lists_endpoints_types_and_problems_and_escapes() {
        let page = page(&serde_json::json!({
            "info": {"title": "A <b>", "version": "1", "description": "uses `code`"},
            "paths": {"/v1/things/{id}": {"get": {
                "summary": "One thing",
                "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}],
                "responses": {
                    "200": {"description": "it", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
                    "404": {"description": "none", "content": {"application/problem+json": {"schema": {}}}},
                },
            }}},
            "components": {"schemas": {"Thing": {"type": "object", "required": ["a"], "properties": {
                "a": {"type": ["string", "null"], "description": "an <a>"},
                "b": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}},
            }}}},
        }));
        for part in [
            "A &lt;b&gt;",
            "<code>code</code>",
            "<code>/v1/things/{id}</code>",
            "<a href=\"#type-Thing\">Thing</a>",
            "string or null",
            "an &lt;a&gt;",
            "id=\"problem-invalid-field\"",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(!page.contains("<script"));
    }
}
