//! One form, sent with GET and with POST.

use axum::Form;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::App;
use crate::demo::page::{Value, fill};

const FORM: &str = include_str!("../pages/form.html");
const RESULT: &str = include_str!("../pages/form_result.html");

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Typed {
    name: String,
    message: String,
}

pub(super) async fn with_get(State(app): State<App>, Query(typed): Query<Typed>) -> Response {
    render(&app, "GET", &typed)
}

pub(super) async fn with_post(State(app): State<App>, Form(typed): Form<Typed>) -> Response {
    render(&app, "POST", &typed)
}

fn render(app: &App, method: &str, typed: &Typed) -> Response {
    let (name, message) = (Value::Text(&typed.name), Value::Text(&typed.message));
    let result = if typed.name.is_empty() && typed.message.is_empty() {
        String::new()
    } else {
        let pid = std::process::id().to_string();
        let greeted = if typed.name.is_empty() { Value::Text("stranger") } else { name };
        fill(
            RESULT,
            &[
                ("typed_name", greeted),
                ("typed_message", message),
                ("method", Value::Text(method)),
                ("name", Value::Text(app.name().as_str())),
                ("pid", Value::Text(&pid)),
            ],
        )
    };
    let body = fill(FORM, &[("typed_name", name), ("typed_message", message), ("result", Value::Html(&result))]);
    app.page("Form", &body)
}
