//! What each end reports, compared with the simulation's books.

use std::collections::HashMap;

use narthex_proto::wire::{AppEvent, CancelCode, HostEvent, Received, StreamId};

use super::{CREDITS, Pair, cache_policy, content};

impl Pair {
    pub(super) fn on_app_event(&mut self, event: AppEvent<'_, usize>) {
        let known = |ids: &HashMap<StreamId, usize>, id| *ids.get(&id).expect("a live stream");
        match event {
            AppEvent::Request { id, request } => {
                let key = request.registration as usize;
                assert_eq!(key, self.app_saw, "requests come in order");
                self.app_saw += 1;
                assert_eq!(request.head, content(key, false, 0, 16 + key));
                let x = self.exchanges.get_mut(&key).unwrap();
                assert_eq!(x.id, id);
                assert_eq!(request.length, x.plan.length());
                assert!(self.app_ids.insert(id, key).is_none(), "slot reused too early");
                self.app.attach(id, key).unwrap();
                x.app.open = true;
                x.app.got_end = !x.plan.has_body;
            }
            AppEvent::Data { id, bytes, end, closed } => {
                let key = known(&self.app_ids, id);
                let x = self.exchanges.get_mut(&key).unwrap();
                x.app.get(key, false, bytes);
                x.app.got_end = end;
                if end {
                    assert_eq!(x.app.got, x.plan.request_bytes);
                }
                let over = end && x.app.sent_end;
                assert_eq!(closed, over.then_some(key));
                if over {
                    self.app_closed(key, id);
                }
            }
            AppEvent::Trailers { id, lines } => {
                let x = self.exchanges.get_mut(&known(&self.app_ids, id)).unwrap();
                assert_eq!((lines, x.app.got), (&b"a: b\r\n"[..], x.plan.request_bytes));
                assert!(!x.app.got_end);
                x.app.got_end = true;
            }
            AppEvent::Window { id, available } => {
                known(&self.app_ids, id);
                assert_eq!(available, self.app.send_window(id));
            }
            AppEvent::Cancelled { id, code, data } => {
                let key = known(&self.app_ids, id);
                assert_eq!((code, data), (CancelCode::CLIENT_GONE, Some(key)));
                self.app_closed(key, id);
            }
            AppEvent::ClientClosed { id } => {
                known(&self.app_ids, id);
            }
            AppEvent::FileTaken { .. } => panic!("nobody sends files here"),
            AppEvent::Fragment { id, sent } => {
                let x = self.exchanges.get_mut(&known(&self.app_ids, id)).unwrap();
                let length = x.asked.take().expect("the app has asked");
                x.sent_fragments[usize::from(sent.is_none())] += 1;
                if let Some(sent) = sent {
                    assert_eq!(sent, length as u64);
                    x.app.sent += length;
                }
            }
            AppEvent::Pong(number) => {
                assert_eq!(number, 8);
                self.pongs += 1;
            }
            AppEvent::Drain => assert!(self.draining),
        }
    }

    pub(crate) fn deliver_to_host(&mut self) {
        self.transfer(false);
        let input = std::mem::take(&mut self.host_input);
        let mut at = 0;
        loop {
            match self.host.receive(&input[at..]).unwrap() {
                Received::NeedMore { used, total } => {
                    at += used;
                    assert!(total > input.len() - at);
                    break;
                }
                Received::Event { used, event } => {
                    at += used;
                    self.on_host_event(event);
                }
            }
        }
        self.host_input = input[at..].to_vec();
    }

    pub(super) fn on_host_event(&mut self, event: HostEvent<'_, usize>) {
        let known = |ids: &HashMap<StreamId, usize>, id| *ids.get(&id).expect("a live stream");
        let (id, bytes, end, closed) = match event {
            HostEvent::Response { id, head, headers, body, end, closed } => {
                let key = known(&self.host_ids, id);
                let x = self.exchanges.get_mut(&key).unwrap();
                assert!(!x.response_seen);
                x.response_seen = true;
                assert_eq!(head.upgrade, x.plan.accept);
                assert_eq!(head.cache, cache_policy(key));
                if head.upgrade {
                    x.host.sent_end = false;
                } else {
                    assert_eq!(head.status, 200 + key as u16);
                }
                assert_eq!(headers, content(key, true, 0, key));
                (id, body, end, closed)
            }
            HostEvent::Data { id, bytes, end, closed } => (id, bytes, end, closed),
            HostEvent::Trailers { id, lines, closed } => {
                assert_eq!(lines, b"c: d\r\n");
                (id, &[][..], true, closed)
            }
            HostEvent::Inform { id, status, headers } => {
                let x = &self.exchanges[&known(&self.host_ids, id)];
                assert!(!x.response_seen);
                assert_eq!((status, headers), (103, &b"link: </>\r\n"[..]));
                return;
            }
            HostEvent::Window { id, available, proceed } => {
                let key = known(&self.host_ids, id);
                let x = self.exchanges.get_mut(&key).unwrap();
                assert_eq!(available, self.host.send_window(id));
                if proceed {
                    assert!(x.plan.expect && x.plan.has_body && !x.proceed_seen);
                    assert_eq!(x.host.sent, 0);
                    x.proceed_seen = true;
                }
                return;
            }
            HostEvent::File { .. } => panic!("nobody sends files here"),
            HostEvent::Fragment { id, url, offset, length } => {
                let x = self.exchanges.get_mut(&known(&self.host_ids, id)).unwrap();
                assert_eq!((url, offset), ("http://a/x", x.host.got as u64));
                x.unanswered = Some(usize::try_from(length.unwrap()).unwrap());
                return;
            }
            HostEvent::Credit(credit) => {
                assert_eq!(credit, self.host.credit());
                assert!(credit <= CREDITS);
                return;
            }
            HostEvent::Delegated { id, queue, url, data } => {
                assert_eq!((queue, url, data), ("queue", "/url", known(&self.host_ids, id)));
                self.exchanges.get_mut(&data).unwrap().host.open = false;
                self.host_ids.remove(&id);
                return;
            }
            HostEvent::Cancelled { id, code, data } => {
                let key = known(&self.host_ids, id);
                assert_eq!((code, data), (CancelCode::HANDLER_GONE, key));
                self.exchanges.get_mut(&key).unwrap().host.open = false;
                self.host_ids.remove(&id);
                return;
            }
            HostEvent::Pong(number) => {
                assert_eq!(number, 7);
                self.pongs += 1;
                return;
            }
            HostEvent::Drain => {
                self.draining = true;
                return;
            }
        };
        let key = known(&self.host_ids, id);
        let x = self.exchanges.get_mut(&key).unwrap();
        assert!(x.response_seen);
        x.host.get(key, true, bytes);
        x.host.got_end = end;
        let over = end && (!x.plan.accept || x.host.sent_end);
        assert_eq!(closed, over.then_some(key));
        if over {
            x.host.open = false;
            self.host_ids.remove(&id);
        }
    }

    pub(crate) fn check_end(&mut self) {
        assert_eq!((self.host.streams(), self.app.streams()), (0, 0), "a stream leaks");
        assert_eq!(self.host.credit(), CREDITS, "credit is lost or invented");
        assert!(self.host_input.is_empty() && self.app_input.is_empty());
        for x in self.exchanges.values() {
            assert!(!x.host.open && !x.app.open);
            if x.cancelled {
                continue;
            }
            assert!(x.host.got_end);
            assert_eq!(x.host.got, x.plan.response_bytes);
            if x.plan.accept || !x.plan.early {
                assert!(x.app.got_end);
                assert_eq!(x.app.got, x.plan.request_bytes);
            }
        }
    }
}
