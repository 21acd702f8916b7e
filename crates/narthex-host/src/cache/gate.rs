//! Which responses may be stored, and for how long (RFC 9111 section 3; what HTTP.sys and ASP.NET's gate on top of it ask for).
//! There are no heuristics: either the app gives a policy, or the response says `public` and until when.

use std::time::{Duration, SystemTime};

use narthex_proto::wire::CachePolicy;

use super::conditional::EntityTag;
use super::directives::CacheControl;
use super::list::{date, elements, number};
use super::vary;

/// A response's head, as the app gave it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<F> {
    /// The status.
    pub(crate) status: u16,
    /// The app's policy.
    pub(crate) policy: Option<CachePolicy>,
    /// The length of the body, if it is known.
    pub(crate) length: Option<u64>,
    /// The header fields, validated.
    pub(crate) fields: F,
}

/// Whether a response asks to be stored, whatever else speaks against it. Of an app that has never sent such a response
/// the requests need not be watched; so its cache costs nothing, and one that does cache has its first response sent for that.
pub(crate) fn asks_for_caching<'f>(policy: Option<CachePolicy>, mut fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> bool {
    let public = |value: &[u8]| elements(value).any(|directive| directive.eq_ignore_ascii_case(b"public"));
    policy.is_some() || fields.any(|(name, value)| name.eq_ignore_ascii_case(b"cache-control") && public(value))
}

/// Why a response is not stored. It is sent all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ineligible {
    /// Not one of [`STATUSES`].
    Status,
    /// The length of the body is unknown, or does not go with the status.
    Length,
    TooLong,
    /// Neither a policy nor `Cache-Control: public` with a time.
    NotAsked,
    /// `no-store`, `private` or `no-cache`.
    Forbidden,
    /// `Cache-Control` has something that is no directive.
    CacheControl,
    Pragma,
    SetCookie,
    /// The request had a cookie, and the response does not say `public`.
    Cookie,
    Vary,
    /// `Last-Modified` is no date.
    LastModified,
    /// It would be stale at once.
    Stale,
}

/// What a stored response has to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Permit {
    /// From now on; `None` is until it is flushed.
    pub(super) lifetime: Option<Duration>,
    /// How old the response is now.
    pub(super) age: Duration,
    pub(super) public: bool,
    /// The names in `Vary`.
    pub(super) vary: Vec<Box<str>>,
    pub(super) etag: Option<EntityTag>,
    pub(super) last_modified: Option<SystemTime>,
}

/// Complete by themselves, and cacheable by RFC 9110 section 15.1.
const STATUSES: [u16; 8] = [200, 203, 204, 300, 301, 308, 404, 410];

/// Judges the response to a request that may be stored. `delay` is how long the app took, `most` the most bytes.
pub(super) fn judge<'f, F>(
    answer: &Answer<F>,
    cookie: bool,
    delay: Duration,
    wall: SystemTime,
    most: u64,
) -> Result<Permit, Ineligible>
where
    F: Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
{
    if !STATUSES.contains(&answer.status) {
        return Err(Ineligible::Status);
    }
    let length = answer.length.ok_or(Ineligible::Length)?;
    if answer.status == 204 && length != 0 {
        return Err(Ineligible::Length);
    }
    if length > most {
        return Err(Ineligible::TooLong);
    }
    let values = |name: &'static str| named(&answer.fields, name);
    let has = |name| values(name).next().is_some();
    let control = CacheControl::parse(values("cache-control")).map_err(|_| Ineligible::CacheControl)?;
    if control.forbidden {
        return Err(Ineligible::Forbidden);
    }
    if answer.policy.is_none() && !control.public {
        return Err(Ineligible::NotAsked);
    }
    if has("pragma") {
        return Err(Ineligible::Pragma);
    }
    if has("set-cookie") || has("set-cookie2") {
        return Err(Ineligible::SetCookie);
    }
    if cookie && !control.public {
        return Err(Ineligible::Cookie);
    }
    let vary = vary::names(values("vary")).map_err(|_| Ineligible::Vary)?;
    let mut modified = values("last-modified");
    let last_modified = match (modified.next(), modified.next()) {
        (None, _) => None,
        (Some(value), None) => Some(date(value).ok_or(Ineligible::LastModified)?),
        (Some(_), Some(_)) => return Err(Ineligible::LastModified),
    };
    let mut tags = values("etag");
    let etag = tags.next().filter(|_| tags.next().is_none()).and_then(EntityTag::parse);
    let age = age(&answer.fields, delay, wall);
    let lifetime = match answer.policy {
        Some(CachePolicy::UntilFlushed) => None,
        Some(CachePolicy::TimeToLive(seconds)) => Some(Duration::from_secs(seconds.get().into())),
        None => Some(fresh_for(&answer.fields, &control, wall)?.saturating_sub(age)),
    };
    if lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
        return Err(Ineligible::Stale);
    }
    Ok(Permit { lifetime, age, public: control.public, vary, etag, last_modified })
}

fn named<'f, F>(fields: &F, name: &'static str) -> impl Iterator<Item = &'f [u8]> + use<'f, F>
where
    F: Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
{
    fields.clone().filter(move |(other, _)| other.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
}

/// The freshness lifetime (RFC 9111 section 4.2.1), without the heuristic one.
fn fresh_for<'f, F>(fields: &F, control: &CacheControl, wall: SystemTime) -> Result<Duration, Ineligible>
where
    F: Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
{
    if let Some(seconds) = control.max_age {
        return Ok(Duration::from_secs(seconds));
    }
    let mut expires = named(fields, "expires");
    let value = expires.next().ok_or(Ineligible::NotAsked)?;
    // `Expires: 0` and the like mean that it has expired (RFC 9111 section 5.3); of two there is no telling which holds.
    let at = date(value).filter(|_| expires.next().is_none()).ok_or(Ineligible::Stale)?;
    let made = named(fields, "date").next().and_then(date).unwrap_or(wall);
    at.duration_since(made).map_err(|_| Ineligible::Stale)
}

/// The age of a response that has just come (RFC 9111 section 4.2.3). An app that passes on what another cache gave it says
/// so with `Age`; else its response is new, however long it took.
fn age<'f, F>(fields: &F, delay: Duration, wall: SystemTime) -> Duration
where
    F: Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
{
    let made = named(fields, "date").next().and_then(date);
    let apparent = made.and_then(|made| wall.duration_since(made).ok()).unwrap_or_default();
    let told = named(fields, "age").filter_map(number).max().map(|seconds| Duration::from_secs(seconds).saturating_add(delay));
    // A date has no fractions of a second: what is made within this one is new.
    let apparent = Duration::from_secs(apparent.as_secs());
    apparent.max(told.unwrap_or_default())
}
