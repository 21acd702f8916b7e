//! State that follows a browser.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use narthex::hub::Hub;
use narthex::sessions::{Overflow, Session, SessionError, Sessions, Times};
use tokio::sync::Notify;

use super::stage::{ask, open, say, start, value};
use crate::client::Place;

on_both! {
    a_session_begins_when_its_state_is_used_and_is_found_again
    an_id_that_the_server_has_not_given_begins_nothing
    a_login_gives_a_session_another_id
    a_session_that_ends_is_forgotten_on_both_sides
    what_lasts_too_long_is_over
    more_sessions_than_may_be_are_refused_or_end_the_oldest
    one_request_at_a_time_means_the_whole_request
    a_web_socket_has_the_session_of_its_page
    a_page_of_another_origin_changes_nothing_in_a_session
}

async fn count(session: Session<u32>) -> Result<String, SessionError> {
    let mut count = session.lock().await?;
    *count += 1;
    Ok(count.to_string())
}

fn app(sessions: Sessions<u32>) -> Router {
    Router::new()
        .route("/count", post(count))
        .route("/page", get(async |session: Session<u32>| session.exists().await.to_string()))
        .route("/login", post(async |session: Session<u32>| session.renew().await))
        .route("/logout", post(async |session: Session<u32>| session.end().await))
        .layer(sessions)
}

/// `session=…` of the field that sets it.
fn cookie(reply: &crate::client::Reply) -> String {
    let field = value(reply, "set-cookie");
    assert!(field.ends_with("; HttpOnly; SameSite=Lax; Path=/"), "{field}");
    field.split(';').next().unwrap().to_owned()
}

async fn a_session_begins_when_its_state_is_used_and_is_found_again(place: &Place) {
    let running = start(place, app(Sessions::new())).await;
    let page = ask(&running, "GET /page", &[]).await;
    assert_eq!((page.text(), value(&page, "set-cookie")), ("false", ""), "who only looks gets no cookie");
    let first = ask(&running, "POST /count", &[]).await;
    let cookie = cookie(&first);
    assert_eq!(first.text(), "1");
    let second = ask(&running, "POST /count", &[("Cookie", &cookie)]).await;
    assert_eq!((second.text(), value(&second, "set-cookie")), ("2", ""));
    assert_eq!(ask(&running, "GET /page", &[("Cookie", &cookie)]).await.text(), "true");
    assert_eq!(ask(&running, "POST /count", &[]).await.text(), "1", "another browser");
}

async fn an_id_that_the_server_has_not_given_begins_nothing(place: &Place) {
    let running = start(place, app(Sessions::new())).await;
    let reply = ask(&running, "POST /count", &[("Cookie", "session=planted")]).await;
    assert_eq!(reply.text(), "1");
    assert_ne!(cookie(&reply), "session=planted");
    assert_eq!(ask(&running, "GET /page", &[("Cookie", "session=planted")]).await.text(), "false");
}

async fn a_login_gives_a_session_another_id(place: &Place) {
    let running = start(place, app(Sessions::new())).await;
    let before = cookie(&ask(&running, "POST /count", &[]).await);
    let after = cookie(&ask(&running, "POST /login", &[("Cookie", &before)]).await);
    assert_ne!(before, after);
    assert_eq!(ask(&running, "GET /page", &[("Cookie", &before)]).await.text(), "false");
    assert_eq!(ask(&running, "POST /count", &[("Cookie", &after)]).await.text(), "2");
}

async fn a_session_that_ends_is_forgotten_on_both_sides(place: &Place) {
    let running = start(place, app(Sessions::new())).await;
    let cookie = cookie(&ask(&running, "POST /count", &[]).await);
    let reply = ask(&running, "POST /logout", &[("Cookie", &cookie)]).await;
    assert_eq!(value(&reply, "set-cookie"), "session=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0");
    assert_eq!(ask(&running, "GET /page", &[("Cookie", &cookie)]).await.text(), "false");
}

async fn what_lasts_too_long_is_over(place: &Place) {
    let times = Times { idle: Duration::ZERO, ..Times::default() };
    let running = start(place, app(Sessions::new().times(times))).await;
    let cookie = cookie(&ask(&running, "POST /count", &[]).await);
    assert_eq!(ask(&running, "POST /count", &[("Cookie", &cookie)]).await.text(), "1");
}

async fn more_sessions_than_may_be_are_refused_or_end_the_oldest(place: &Place) {
    let running = start(place, app(Sessions::with_max(1, Overflow::Refuse))).await;
    let first = cookie(&ask(&running, "POST /count", &[]).await);
    assert_eq!(ask(&running, "POST /count", &[]).await.status, 503);
    assert_eq!(ask(&running, "POST /count", &[("Cookie", &first)]).await.text(), "2");
    let running = start(place, app(Sessions::with_max(1, Overflow::EndOldest))).await;
    let first = cookie(&ask(&running, "POST /count", &[]).await);
    assert_eq!(ask(&running, "POST /count", &[]).await.text(), "1");
    assert_eq!(ask(&running, "POST /count", &[("Cookie", &first)]).await.text(), "1", "it has ended");
}

async fn one_request_at_a_time_means_the_whole_request(place: &Place) {
    #[derive(Clone, Default)]
    struct Inside(Arc<AtomicUsize>, Arc<Notify>);
    async fn slow(State(inside): State<Inside>, session: Session<u32>) -> Result<String, SessionError> {
        *session.lock().await? += 1;
        let already = inside.0.fetch_add(1, Ordering::SeqCst);
        if already == 0 {
            // The state is not held here, and yet nobody of this session comes in, while others do.
            inside.1.notified().await;
        }
        inside.0.fetch_sub(1, Ordering::SeqCst);
        Ok(format!("{already} before me"))
    }
    async fn go(State(inside): State<Inside>) {
        inside.1.notify_one();
    }
    let inside = Inside::default();
    let app = Router::new()
        .route("/slow", get(slow))
        .route("/count", post(count))
        .layer(Sessions::<u32>::new().one_request_at_a_time())
        .route("/go", get(go))
        .with_state(inside.clone());
    let running = start(place, app).await;
    let cookie = cookie(&ask(&running, "POST /count", &[]).await);
    let fields = [("Cookie", cookie.as_str())];
    let second = async {
        while inside.0.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let waiting = ask(&running, "GET /slow", &fields);
        let go = async {
            // Another session is not held up.
            assert_eq!(ask(&running, "POST /count", &[]).await.text(), "1");
            assert_eq!(inside.0.load(Ordering::SeqCst), 1);
            inside.1.notify_one();
            // The second waits inside as well.
            ask(&running, "GET /go", &[]).await
        };
        tokio::join!(waiting, go).0
    };
    let (first, second) = tokio::join!(ask(&running, "GET /slow", &fields), second);
    assert_eq!((first.text(), second.text()), ("0 before me", "0 before me"));
}

async fn a_page_of_another_origin_changes_nothing_in_a_session(place: &Place) {
    let running = start(place, app(Sessions::new())).await;
    let cookie = cookie(&ask(&running, "POST /count", &[]).await);
    let fields = [("Cookie", cookie.as_str()), ("Origin", "http://a:9999")];
    assert_eq!(ask(&running, "POST /count", &fields).await.status, 403);
    assert_eq!(ask(&running, "GET /page", &fields).await.text(), "true");
    assert_eq!(ask(&running, "POST /count", &[("Cookie", &cookie), ("Origin", "http://a")]).await.text(), "2");
    assert_eq!(ask(&running, "POST /count", &fields[1..]).await.text(), "1", "nobody is harmed who has no session");
    let running = start(place, app(Sessions::new().origins(["http://a:9999"]))).await;
    let cookie = self::cookie(&ask(&running, "POST /count", &[]).await);
    assert_eq!(ask(&running, "POST /count", &[("Cookie", &cookie), ("Origin", "http://a:9999")]).await.text(), "2");
}

async fn a_web_socket_has_the_session_of_its_page(place: &Place) {
    let hub = Hub::new();
    hub.on_connect(|mut connect| async move {
        let session = connect.request().extensions.get::<Session<u32>>().unwrap().clone();
        connect.set_data(session);
        Ok(connect)
    });
    hub.on_message(|peer, _| async move {
        let session = peer.data::<Session<u32>>().unwrap();
        let mut count = session.lock().await?;
        *count += 1;
        Ok::<_, SessionError>(peer.send(count.to_string()))
    });
    let sessions = Sessions::<u32>::new().one_request_at_a_time();
    let app = Router::new().route("/ws", hub.route()).route("/count", post(count)).layer(sessions);
    let running = start(place, app).await;
    let cookie = cookie(&ask(&running, "POST /count", &[]).await);
    let mut socket = open(&running, "/ws", &[("cookie", &cookie)]).await.unwrap();
    assert_eq!(say(&mut socket, "count").await, "2");
    assert_eq!(ask(&running, "POST /count", &[("Cookie", &cookie)]).await.text(), "3");
    assert_eq!(say(&mut socket, "count").await, "4");
}
