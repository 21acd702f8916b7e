//! Lists of addresses and networks, and the layer that goes by them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use http::StatusCode;
use http::request::Parts;
use ipnet::IpNet;
use tower_layer::Layer;

use crate::guard::{Answer, Gate, Guarded, canonical_network, client_ip, status};

/// Addresses and networks (`192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`). Clones are the same list, which can be changed while it is used.
#[derive(Clone, Default)]
pub struct IpList(Arc<Networks>);

#[derive(Default)]
struct Networks {
    /// As they were added. Locked while one change is made, which may take a while in a long list.
    listed: Mutex<BTreeSet<IpNet>>,
    /// The same, disjoint and in order. Locked for as long as a look takes.
    merged: RwLock<Arc<[IpNet]>>,
}

/// A text is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no network: write an address, or an address and the length of its prefix, such as 192.0.2.0/24 or 2001:db8::/32"
)]
pub struct NotAnAddress(String);

impl IpList {
    /// These addresses and networks.
    ///
    /// # Errors
    /// If one is none.
    pub fn new(networks: impl IntoIterator<Item: AsRef<str>>) -> Result<Self, NotAnAddress> {
        let list = Self::default();
        list.replace(networks)?;
        Ok(list)
    }

    /// Puts others in the place of all that are in the list, at once. If one is none, nothing is changed.
    ///
    /// # Errors
    /// If one is none.
    pub fn replace(&self, networks: impl IntoIterator<Item: AsRef<str>>) -> Result<(), NotAnAddress> {
        let listed = networks.into_iter().map(|text| parse(text.as_ref())).collect::<Result<BTreeSet<_>, _>>()?;
        self.change(|networks| {
            *networks = listed;
            true
        });
        Ok(())
    }

    /// Adds one. One that is there already costs next to nothing; with each other the whole list is sorted again, while requests go on
    /// being judged by the list as it was.
    ///
    /// # Errors
    /// If it is none.
    pub fn add(&self, network: impl AsRef<str>) -> Result<(), NotAnAddress> {
        let network = parse(network.as_ref())?;
        self.change(|networks| networks.insert(network));
        Ok(())
    }

    /// Removes one that was added as it is given here; `false` if it was not. An address stays in the list as long as another network is there
    /// that has it.
    ///
    /// # Errors
    /// If it is none.
    pub fn remove(&self, network: impl AsRef<str>) -> Result<bool, NotAnAddress> {
        let network = parse(network.as_ref())?;
        Ok(self.change(|networks| networks.remove(&network)))
    }

    /// Whether the list has an address. One of IPv4 that is written as one of IPv6 (`::ffff:192.0.2.7`) is one of IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let merged = self.0.merged.read().unwrap_or_else(PoisonError::into_inner);
        let behind = merged.partition_point(|network| network.network() <= address);
        behind.checked_sub(1).and_then(|last| merged.get(last)).is_some_and(|network| network.contains(&address))
    }

    /// `change` says whether it has changed anything.
    fn change(&self, change: impl FnOnce(&mut BTreeSet<IpNet>) -> bool) -> bool {
        let mut listed = self.listed();
        if !change(&mut listed) {
            return false;
        }
        let mut merged = IpNet::aggregate(&listed.iter().copied().collect());
        merged.sort_by_key(IpNet::network);
        *self.0.merged.write().unwrap_or_else(PoisonError::into_inner) = merged.into();
        true
    }

    fn listed(&self) -> MutexGuard<'_, BTreeSet<IpNet>> {
        self.0.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(text: &str) -> Result<IpNet, NotAnAddress> {
    let wrong = || NotAnAddress(text.to_owned());
    let address = || text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    text.parse::<IpNet>().or_else(|_| address()).map(canonical_network).map_err(|_| wrong())
}

impl fmt::Debug for IpList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&*self.listed()).finish()
    }
}

/// A layer that answers 403 to addresses that may not come in. What is denied is denied, whatever is allowed.
///
/// It needs to know the client: with the feature `axum` it does, else [`Server::connection_info`](crate::Server::connection_info) is
/// needed. A client that is not known is refused.
#[derive(Clone, Debug)]
#[must_use = "it guards nothing until it is a layer of an app"]
pub struct IpFilter {
    denied: IpList,
    allowed: Option<IpList>,
}

impl IpFilter {
    /// Everybody comes in but these.
    pub fn deny(denied: IpList) -> Self {
        Self { denied, allowed: None }
    }

    /// Nobody comes in but these: nobody at all while the list is empty.
    pub fn allow(allowed: IpList) -> Self {
        Self { denied: IpList::default(), allowed: Some(allowed) }
    }

    /// Of those who would come in, these do not.
    pub fn but_not(mut self, denied: IpList) -> Self {
        self.denied = denied;
        self
    }

    fn lets_in(&self, address: IpAddr) -> bool {
        !self.denied.contains(address) && self.allowed.as_ref().is_none_or(|allowed| allowed.contains(address))
    }
}

impl<S> Layer<S> for IpFilter {
    type Service = Guarded<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded::new(Arc::new(self.clone()), inner)
    }
}

impl<B: Send> Gate<B> for IpFilter {
    type Pass = ();

    async fn admit(&self, parts: &mut Parts, _: &mut Option<B>) -> Result<(), Answer> {
        match client_ip(&parts.extensions) {
            Some(address) if self.lets_in(address) => Ok(()),
            _ => Err(status(StatusCode::FORBIDDEN, "you may not come in\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(list: &IpList, address: &str) -> bool {
        list.contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_has_its_own_addresses_and_no_others() {
        let list = IpList::new(["10.0.0.0/8", "192.0.2.7", "192.0.2.128/25", "2001:db8::/32", "fe80::1"]).unwrap();
        for address in
            ["10.0.0.0", "10.255.255.255", "192.0.2.7", "192.0.2.200", "2001:db8:ffff::1", "fe80::1", "::ffff:10.1.2.3"]
        {
            assert!(has(&list, address), "{address}");
        }
        for address in
            ["9.255.255.255", "11.0.0.0", "192.0.2.8", "192.0.2.127", "2001:db9::", "2001:db7::1", "fe80::2", "::", "::1"]
        {
            assert!(!has(&list, address), "{address}");
        }
    }

    /// A network of IPv6 that had every address was a bug of another server.
    #[test]
    fn a_network_of_ipv6_does_not_match_everything() {
        for network in ["2001:db8::/32", "2001:db8::/64", "2001:db8::1/128", "8000::/1"] {
            let list = IpList::new([network]).unwrap();
            for address in ["192.0.2.7", "0.0.0.0", "255.255.255.255", "::1", "fd00::1", "2001:db7::1", "::ffff:192.0.2.7"] {
                assert_eq!(has(&list, address), network == "8000::/1" && address == "fd00::1", "{network} {address}");
            }
        }
        assert!(!has(&IpList::new(["0.0.0.0/0"]).unwrap(), "2001:db8::1"));
        assert!(!has(&IpList::new(["::/0"]).unwrap(), "192.0.2.7"));
        assert!(has(&IpList::new(["::ffff:192.0.2.0/120"]).unwrap(), "192.0.2.7"), "it is of IPv4");
    }

    #[test]
    fn networks_that_lie_in_each_other_do_not_hide_each_other() {
        let list = IpList::new(["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3"]).unwrap();
        assert!(has(&list, "10.200.0.1"));
        assert_eq!(list.remove("10.0.0.0/8"), Ok(true));
        assert_eq!(list.remove("10.0.0.0/8"), Ok(false));
        assert!(!has(&list, "10.200.0.1") && has(&list, "10.1.200.1"));
        list.add("10.200.0.1").unwrap();
        assert!(has(&list, "10.200.0.1"));
    }

    #[test]
    fn an_address_that_is_banned_again_and_again_is_there_once() {
        let list = IpList::new(["10.0.0.0/8"]).unwrap();
        for _ in 0..3 {
            list.add("192.0.2.7").unwrap();
            list.add("::ffff:192.0.2.7").unwrap();
        }
        assert_eq!(format!("{list:?}"), "[10.0.0.0/8, 192.0.2.7/32]");
        assert_eq!(list.remove("192.0.2.7"), Ok(true));
        assert!(!has(&list, "192.0.2.7"));
    }

    #[test]
    fn what_is_no_network_changes_nothing() {
        let list = IpList::new(["10.0.0.0/8"]).unwrap();
        for wrong in ["", "10.0.0", "10.0.0.0/33", "2001:db8::/129", "example.com", "10.0.0.0/-1"] {
            assert_eq!(list.replace(["192.0.2.1", wrong]), Err(NotAnAddress(wrong.to_owned())));
        }
        assert!(has(&list, "10.1.2.3") && !has(&list, "192.0.2.1"));
    }

    #[test]
    fn what_is_denied_is_denied_whatever_is_allowed() {
        let filter = IpFilter::allow(IpList::new(["10.0.0.0/8"]).unwrap()).but_not(IpList::new(["10.1.0.0/16"]).unwrap());
        let lets_in = |address: &str| filter.lets_in(address.parse().unwrap());
        assert!(lets_in("10.2.0.1") && !lets_in("10.1.0.1") && !lets_in("192.0.2.7"));
        assert!(!IpFilter::allow(IpList::default()).lets_in([10, 0, 0, 1].into()));
    }
}
