//! How it looks, on a screen and as text.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Row as TableRow, Table};

use super::Shown;
use super::interval::{Order, Row};
use crate::output::one_line;

const COLUMNS: [&str; 10] = ["URL", "APP", "PID", "REQ/S", "P50", "P99", "FAIL/S", "SENT/S", "TUNNELS", "WAIT/WORK"];

pub(super) fn draw(frame: &mut Frame<'_>, shown: &Shown) {
    let [head, table, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(1), Constraint::Length(1)]).areas(frame.area());
    frame.render_widget(ratatui::text::Text::from(heading(shown).map(Line::from).to_vec()), head);
    let widths = [
        Constraint::Fill(3),
        Constraint::Fill(1),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(8),
        Constraint::Length(10),
    ];
    let header = COLUMNS.iter().enumerate().map(|(at, name)| {
        let name = Cell::from(*name);
        if at == column_of(shown.order) { name.add_modifier(Modifier::REVERSED) } else { name }
    });
    let rows = shown.rows.iter().skip(shown.offset).map(|row| {
        let style = if row.failures > 0.0 { Style::new().fg(Color::Red) } else { Style::new() };
        TableRow::new(cells(row).map(Cell::from)).style(style)
    });
    frame.render_widget(Table::new(rows, widths).header(TableRow::new(header).bold()), table);
    let keys = " q quit   s sort   p pause   ↑↓ scroll ";
    let foot_line = match (&shown.problem, shown.paused) {
        (Some(problem), _) => Line::from(vec![Span::from(one_line(problem)).red(), Span::from(keys).dim()]),
        (None, true) => Line::from(vec![Span::from(" paused ").reversed(), Span::from(keys).dim()]),
        (None, false) => Line::from(keys).dim(),
    };
    frame.render_widget(foot_line, foot);
}

pub(super) fn text(shown: &Shown) -> String {
    let rows: Vec<[String; 10]> = std::iter::once(COLUMNS.map(str::to_owned)).chain(shown.rows.iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let line = |row: &[String; 10]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let table = rows.iter().map(line).collect::<Vec<_>>().join("\n");
    format!("{}\n\n{table}", heading(shown).join("\n"))
}

fn heading(shown: &Shown) -> [String; 2] {
    let (state, totals) = (&shown.state, &shown.totals);
    [
        format!(
            "narthex {}, process {}, up {}, {} workers, {} apps",
            one_line(&state.version),
            state.pid,
            duration(state.uptime_seconds),
            state.workers,
            state.sessions.len()
        ),
        format!(
            "{} connections, {} requests/s, {} refused/s, {}/s sent, {}/s received, {} cached",
            state.connections,
            count(totals.requests),
            count(totals.refusals),
            bytes(totals.sent),
            bytes(totals.received),
            bytes(state.cache_bytes as f64)
        ),
    ]
}

fn column_of(order: Order) -> usize {
    match order {
        Order::Url => 0,
        Order::Requests => 3,
        Order::Latency => 5,
        Order::Failures => 6,
        Order::Sent => 7,
        Order::Waiting => 9,
    }
}

fn cells(row: &Row) -> [String; 10] {
    let more = if row.more_urls > 0 { format!(" +{}", row.more_urls) } else { String::new() };
    [
        format!("{}{more}", one_line(&row.url)),
        one_line(&row.app),
        row.pid.to_string(),
        count(row.requests),
        row.p50.map_or_else(|| "-".to_owned(), time),
        row.p99.map_or_else(|| "-".to_owned(), time),
        count(row.failures),
        bytes(row.sent),
        row.tunnels.to_string(),
        format!("{}/{}", row.waiting, row.in_progress),
    ]
}

fn count(per_second: f64) -> String {
    match per_second {
        0.0 => "0".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1}"),
        rate if rate < 10_000.0 => format!("{rate:.0}"),
        rate => format!("{:.1}k", rate / 1e3),
    }
}

fn bytes(amount: f64) -> String {
    match amount {
        amount if amount < 1e3 => format!("{amount:.0} B"),
        amount if amount < 1e6 => format!("{:.1} kB", amount / 1e3),
        amount if amount < 1e9 => format!("{:.1} MB", amount / 1e6),
        amount => format!("{:.1} GB", amount / 1e9),
    }
}

fn time(microseconds: u64) -> String {
    match microseconds {
        0..1_000 => format!("{microseconds} us"),
        1_000..1_000_000 => format!("{:.1} ms", microseconds as f64 / 1e3),
        _ => format!("{:.1} s", microseconds as f64 / 1e6),
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::interval::Totals;
    use super::*;

    fn shown() -> Shown {
        let state = serde_json::json!({
            "version": "1.2.3", "pid": 42, "uptime_seconds": 3700, "workers": 2, "listeners": [], "connections": 9, "requests": 0,
            "refusals": 0, "sessions": [], "queues": [], "cache_bytes": 2_500_000
        });
        let row = Row {
            url: "http://+:8888/a\u{7}/".to_owned(),
            more_urls: 1,
            app: "shop".to_owned(),
            pid: 7,
            requests: 12_345.6,
            failures: 0.25,
            sent: 1_500_000.0,
            p50: Some(900),
            p99: Some(2_500_000),
            tunnels: 3,
            waiting: 1,
            in_progress: 2,
        };
        Shown {
            state: serde_json::from_value(state).unwrap(),
            totals: Totals { requests: 5.0, ..Totals::default() },
            rows: vec![row],
            order: Order::Requests,
            offset: 0,
            paused: false,
            problem: Some("no host answers".to_owned()),
        }
    }

    #[test]
    fn the_text_says_who_gets_what_and_rings_no_bell() {
        let text = text(&shown());
        for expected in
            ["narthex 1.2.3, process 42, up 1 h 1 min", "9 connections, 5.0 requests/s", "2.5 MB cached", "12.3k  900 us  2.5 s"]
        {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        assert!(!text.contains('\u{7}'));
    }

    #[test]
    fn a_narrow_screen_and_a_wide_one_are_drawn() {
        for (width, height) in [(20, 4), (160, 30), (1, 1)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| draw(frame, &shown())).unwrap();
            let screen = terminal.backend().to_string();
            assert_eq!(width < 160, !screen.contains("no host answers") || !screen.contains("2.5 s"), "{screen}");
        }
    }
}
