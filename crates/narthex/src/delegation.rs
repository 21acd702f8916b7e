//! A handler's answer that another app answers.

/// A response by which a handler hands its request to another request queue, whose app answers it in its place.
///
/// The server must have said [`delegates`](crate::Server::delegates), the other queue's
/// [`accepts_delegation`](crate::RequestQueue::accepts_delegation); and the handler must not have begun to read the body, which
/// the other app gets whole. It is as if the request had come to the other queue: it waits there, its path base is the other
/// app's, and what that app answers is the answer.
///
/// ```
/// use narthex::Delegation;
///
/// async fn handler() -> Result<&'static str, Delegation> {
///     Err(Delegation::to("shop").url("/Shop/basket?from=lobby"))
/// }
/// # #[cfg(feature = "axum")]
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(handler));
/// ```
///
/// Without axum, `http::Response::from(delegation)` is the response; what counts is that the delegation is in its extensions.
/// Status, header fields and body of that response are never sent.
///
/// The client gets 503 if there is no such queue, if it does not accept, or if it is full or inactive, and 500 if the
/// body was begun or the server did not say that it delegates; the log says which. An
/// [embedded](crate::Provider::embedded) app has no other queues, so there it is 503.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a delegation is returned by a handler"]
pub struct Delegation {
    pub(crate) queue: String,
    pub(crate) url: String,
}

impl Delegation {
    /// To the queue of this name, under the request's own URL.
    pub fn to(queue: impl Into<String>) -> Self {
        Self { queue: queue.into(), url: String::new() }
    }

    /// Under another URL: a path from the root of the server, such as `/Shop/basket`, and a query if need be. The head's other
    /// parts stay.
    pub fn url(mut self, path_and_query: impl Into<String>) -> Self {
        self.url = path_and_query.into();
        self
    }
}

impl<B: Default> From<Delegation> for http::Response<B> {
    fn from(delegation: Delegation) -> Self {
        let mut response = Self::new(B::default());
        // What a middleware in between, or a test without a server, sees.
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        response.extensions_mut().insert(delegation);
        response
    }
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponse for Delegation {
    fn into_response(self) -> axum::response::Response {
        self.into()
    }
}

#[cfg(all(test, feature = "axum"))]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn a_delegation_is_a_response_with_itself_in_the_extensions() {
        let delegation = Delegation::to("shop").url("/x");
        let response = Err::<(), _>(delegation.clone()).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.extensions().get(), Some(&delegation));
    }
}
