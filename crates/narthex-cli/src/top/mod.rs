//! `narthex top`: who gets how many requests, live in a terminal; or once, as text, where nobody looks at it.
#![expect(clippy::disallowed_methods, reason = "a person waits at a terminal, in real time")]

mod interval;
mod view;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Context;
use narthex_host::admin::{Client, ServiceState};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

pub(crate) use interval::Order;
use interval::{Row, Totals, rows, totals};

use crate::admin::connect;
use crate::args::TopArguments;
use crate::output::print;

/// What is shown.
struct Shown {
    state: ServiceState,
    totals: Totals,
    rows: Vec<Row>,
    order: Order,
    /// The first row on the screen.
    offset: usize,
    paused: bool,
    /// Why it is not up to date.
    problem: Option<String>,
}

pub(crate) fn run(typed: &TopArguments) -> anyhow::Result<()> {
    let interval = Duration::from_secs_f64(typed.interval);
    if typed.once || !std::io::stdout().is_terminal() {
        return once(typed, interval);
    }
    let mut client = connect(&typed.socket)?;
    let mut before = (client.service_state()?, Instant::now());
    let mut shown = shown(before.0.clone(), &before.0, interval, typed.order);
    let mut terminal = ratatui::try_init().context("the terminal cannot be used")?;
    let ended = loop {
        if let Err(error) = terminal.draw(|frame| view::draw(frame, &shown)) {
            break Err(error.into());
        }
        match wait(before.1 + interval, &mut shown) {
            Ok(Waited::Over) => break Ok(()),
            Ok(Waited::Again) => continue,
            Ok(Waited::Due) => {}
            Err(error) => break Err(error.into()),
        }
        let looked = Instant::now();
        match look(&mut client, typed) {
            Ok(state) if !shown.paused => {
                let took = looked - before.1;
                (shown.totals, shown.rows) = (totals(&before.0, &state, took), rows(&before.0, &state, took, shown.order));
                shown.problem = None;
                shown.state = state.clone();
                before = (state, looked);
            }
            Ok(state) => before = (state, looked),
            Err(error) => {
                shown.problem = Some(error.to_string());
                before.1 = looked;
            }
        }
    };
    ratatui::restore();
    ended
}

/// Two looks, and what happened between them.
fn once(typed: &TopArguments, interval: Duration) -> anyhow::Result<()> {
    let mut client = connect(&typed.socket)?;
    let (before, since) = (client.service_state()?, Instant::now());
    std::thread::sleep(interval);
    let now = client.service_state()?;
    print(&view::text(&shown(now, &before, since.elapsed(), typed.order)));
    Ok(())
}

fn shown(now: ServiceState, before: &ServiceState, took: Duration, order: Order) -> Shown {
    let (totals, rows) = (totals(before, &now, took), rows(before, &now, took, order));
    Shown { state: now, totals, rows, order, offset: 0, paused: false, problem: None }
}

/// Asks the host, anew if it was restarted.
fn look(client: &mut Client, typed: &TopArguments) -> anyhow::Result<ServiceState> {
    if let Ok(state) = client.service_state() {
        return Ok(state);
    }
    *client = connect(&typed.socket)?;
    Ok(client.service_state()?)
}

enum Waited {
    /// It is time to look.
    Due,
    /// A key has changed what is shown.
    Again,
    Over,
}

fn wait(until: Instant, shown: &mut Shown) -> std::io::Result<Waited> {
    if !event::poll(until.saturating_duration_since(Instant::now()))? {
        return Ok(Waited::Due);
    }
    let Event::Key(key) = event::read()? else { return Ok(Waited::Again) };
    if key.kind == KeyEventKind::Release {
        return Ok(Waited::Again);
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(Waited::Over),
        KeyCode::Char('q') | KeyCode::Esc => return Ok(Waited::Over),
        KeyCode::Char('s') => shown.order = shown.order.next(),
        KeyCode::Char('p' | ' ') => shown.paused = !shown.paused,
        KeyCode::Down | KeyCode::Char('j') => shown.offset = (shown.offset + 1).min(shown.rows.len().saturating_sub(1)),
        KeyCode::Up | KeyCode::Char('k') => shown.offset = shown.offset.saturating_sub(1),
        _ => {}
    }
    Ok(Waited::Again)
}
