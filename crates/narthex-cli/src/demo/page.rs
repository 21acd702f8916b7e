//! Pages from the embedded HTML files.

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

const LAYOUT: &str = include_str!("pages/layout.html");
const STYLE: &str = include_str!("pages/style.css");
const NOTICE: &str = include_str!("pages/notice.html");

/// Nothing comes from elsewhere; the pages carry their own style and script.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
                      connect-src 'self' ws: wss:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What a placeholder becomes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// Shown as it is, whatever it holds.
    Text(&'a str),
    /// Part of the page.
    Html(&'a str),
}

/// Replaces each `{{name}}` of a template.
pub(super) fn fill(template: &str, values: &[(&str, Value<'_>)]) -> String {
    let mut page = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        page.push_str(before);
        let Some((name, after)) = after.split_once("}}") else {
            rest = after;
            break;
        };
        let value = values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        debug_assert!(value.is_some(), "nothing fills the placeholder {name:?}");
        match value {
            Some(Value::Text(text)) => escape(text, &mut page),
            Some(Value::Html(html)) => page.push_str(html),
            None => {}
        }
        rest = after;
    }
    page.push_str(rest);
    page
}

fn escape(text: &str, page: &mut String) {
    for character in text.chars() {
        match character {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            other => page.push(other),
        }
    }
}

/// A whole page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    /// For the browser's tab.
    pub(super) title: &'a str,
    /// Who answers, shown at the top.
    pub(super) name: &'a str,
    /// The style's name for the colours.
    pub(super) look: &'a str,
    /// HTML.
    pub(super) navigation: &'a str,
    /// HTML.
    pub(super) body: &'a str,
}

impl IntoResponse for Page<'_> {
    fn into_response(self) -> Response {
        let html = fill(
            LAYOUT,
            &[
                ("title", Value::Text(self.title)),
                ("style", Value::Html(STYLE)),
                ("look", Value::Text(self.look)),
                ("name", Value::Text(self.name)),
                ("pid", Value::Text(&std::process::id().to_string())),
                ("navigation", Value::Html(self.navigation)),
                ("body", Value::Html(self.body)),
            ],
        );
        // Every page names a process, which may be another one the next time.
        let headers =
            [(CONTENT_TYPE, "text/html; charset=utf-8"), (CACHE_CONTROL, "no-store"), (CONTENT_SECURITY_POLICY, POLICY)];
        (headers, html).into_response()
    }
}

/// The body of a page that says one thing and leads back to `home`.
pub(super) fn notice(title: &str, text: &str, home: &str, home_label: &str) -> String {
    let values = [("title", title), ("text", text), ("home", home), ("home_label", home_label)];
    fill(NOTICE, &values.map(|(name, text)| (name, Value::Text(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_typed_is_text_and_never_html() {
        let page = fill("<p title=\"{{t}}\">{{t}}</p>", &[("t", Value::Text("<b>\"&'{{t}}"))]);
        assert_eq!(page, "<p title=\"&lt;b&gt;&quot;&amp;&#39;{{t}}\">&lt;b&gt;&quot;&amp;&#39;{{t}}</p>");
    }

    #[test]
    fn html_goes_in_as_it_is() {
        assert_eq!(fill("a{{x}}b", &[("x", Value::Html("<i>"))]), "a<i>b");
        assert_eq!(fill("open {{", &[]), "open ");
    }
}
