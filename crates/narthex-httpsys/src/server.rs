//! What a program has of HTTP.sys: a server session, URL groups, a request queue.

use std::sync::Arc;

use crate::Code;
use crate::api::{Api, GroupId, Open, Queue, SessionId};
use crate::error::{Error, Result};
use crate::property::{GroupProperty, QueueProperty};

/// What a server begins with.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The queue's name. Processes that name the same queue share it.
    pub queue: Option<String>,
    /// What was asked of the queue.
    pub queue_properties: Vec<QueueProperty>,
    /// What was asked of the URL group.
    pub group_properties: Vec<GroupProperty>,
}

/// A server session with its groups and their queue. Dropped, all of it is given back.
pub struct Server {
    api: Arc<dyn Api>,
    session: SessionId,
    queue: Arc<dyn Queue>,
    /// The queue is another process's: that one registers.
    attached: bool,
    /// All URLs are in the first, where HTTP.sys lets a group have more than one.
    groups: Vec<GroupId>,
    urls: Vec<(String, GroupId)>,
    properties: Vec<GroupProperty>,
}

impl Server {
    /// Opens session and queue. Nothing is registered yet.
    ///
    /// # Errors
    /// If HTTP.sys refuses any of it, or lacks a property that was asked for.
    pub fn open(api: Arc<dyn Api>, settings: &Settings) -> Result<Self> {
        let (queue, attached) = open_queue(&*api, settings.queue.as_deref())?;
        let session = api.create_session().map_err(Error::failed("open a server session"))?;
        let properties = settings.group_properties.clone();
        let mut server = Self { api, session, queue, attached, groups: Vec::new(), urls: Vec::new(), properties };
        if attached {
            return Ok(server);
        }
        for property in &settings.queue_properties {
            server.set_queue(*property)?;
        }
        server.new_group()?;
        Ok(server)
    }

    /// Where requests come from.
    #[must_use]
    pub fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.queue)
    }

    /// Whether the queue is another process's, which has registered what is served, and set what is set.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.attached
    }

    /// Registers a URL prefix. `context` comes with each of its requests.
    ///
    /// # Errors
    /// If HTTP.sys refuses.
    pub fn add_url(&mut self, url: &str, context: u64) -> Result<()> {
        if self.attached {
            return Ok(());
        }
        let first =
            self.groups.first().copied().ok_or(Error::Failed { what: "find the URL group", code: Code::INVALID_HANDLE })?;
        let group = match self.api.add_url(first, url, context) {
            Ok(()) => first,
            // Wine: a group has one URL. Another group of the same queue does as well.
            Err(Code::CALL_NOT_IMPLEMENTED) if !self.urls.is_empty() => {
                let group = self.new_group()?;
                self.api.add_url(group, url, context).map_err(|code| Error::of_url(url, code))?;
                group
            }
            Err(code) => return Err(Error::of_url(url, code)),
        };
        self.urls.push((url.to_owned(), group));
        Ok(())
    }

    /// Gives a URL prefix back.
    ///
    /// # Errors
    /// If it is not registered.
    pub fn remove_url(&mut self, url: &str) -> Result<()> {
        if self.attached {
            return Ok(());
        }
        let known = self.urls.iter().position(|(known, _)| known == url);
        let at = known.ok_or_else(|| Error::NotRegistered { url: url.to_owned() })?;
        let (url, group) = self.urls.remove(at);
        self.api.remove_url(group, &url).map_err(|code| Error::of_url(&url, code))
    }

    /// Gives all URL prefixes back: no more requests come for them.
    pub fn remove_urls(&mut self) {
        for (url, group) in std::mem::take(&mut self.urls) {
            if let Err(code) = self.api.remove_url(group, &url) {
                tracing::debug!(%code, url, "a URL prefix cannot be given back");
            }
        }
    }

    /// Sets a property of the groups.
    ///
    /// # Errors
    /// If HTTP.sys refuses, or does not have it.
    pub fn set_group(&mut self, property: GroupProperty) -> Result<()> {
        for group in &self.groups {
            self.api.set_group(*group, property).map_err(|code| Error::of_property(property.name(), code))?;
        }
        let same = |known: &GroupProperty| std::mem::discriminant(known) == std::mem::discriminant(&property);
        self.properties.retain(|known| !same(known));
        self.properties.push(property);
        Ok(())
    }

    /// Sets a property of the queue.
    ///
    /// # Errors
    /// If HTTP.sys refuses, or does not have it.
    pub fn set_queue(&self, property: QueueProperty) -> Result<()> {
        self.queue.set(property).map_err(|code| Error::of_property(property.name(), code))
    }

    fn new_group(&mut self) -> Result<GroupId> {
        let group = self.api.create_group(self.session).map_err(Error::failed("make a URL group"))?;
        // Closed with the session, whatever comes next.
        self.groups.push(group);
        for property in &self.properties {
            self.api.set_group(group, *property).map_err(|code| Error::of_property(property.name(), code))?;
        }
        self.queue.bind(group).map_err(Error::failed("bind a URL group to its request queue"))?;
        Ok(group)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.remove_urls();
        for group in &self.groups {
            self.api.close_group(*group);
        }
        self.api.close_session(self.session);
        self.queue.close();
    }
}

fn open_queue(api: &dyn Api, name: Option<&str>) -> Result<(Arc<dyn Queue>, bool)> {
    let code = match api.open_queue(name, Open::Create) {
        Ok(queue) => return Ok((queue, false)),
        Err(code) => code,
    };
    let Some(name) = name else { return Err(Error::Failed { what: "make a request queue", code }) };
    let denied = |code| match code {
        Code::ACCESS_DENIED => Error::QueueDenied { name: name.to_owned() },
        code => Error::Failed { what: "open the request queue", code },
    };
    if code != Code::ALREADY_EXISTS {
        return Err(denied(code));
    }
    api.open_queue(Some(name), Open::Existing).map(|queue| (queue, true)).map_err(denied)
}
