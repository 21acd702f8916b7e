//! Bar charts as SVG, written by hand: a few rectangles need no plotting library.

use std::fmt::Write;

use super::results::is_narthex;

const COLOURS: [&str; 4] = ["#2f6f9f", "#e08a3c", "#5a9e5f", "#9a5fa6"];
const LABELS: f64 = 230.0;
const BARS: f64 = 520.0;
const WIDTH: f64 = LABELS + BARS + 130.0;
const THICKNESS: f64 = 16.0;
const TOP: f64 = 76.0;

/// Horizontal bars, one row per subject.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) unit: &'static str,
    /// The name of each bar, or part of a bar, in a row.
    pub(super) series: Vec<String>,
    /// Parts of one bar that add up, instead of bars below each other.
    pub(super) stacked: bool,
    pub(super) digits: usize,
    /// A label, and a value for each series.
    pub(super) rows: Vec<(String, Vec<Option<f64>>)>,
}

impl Chart {
    /// The whole SVG document.
    pub(super) fn draw(&self) -> String {
        let bars = if self.stacked { 1 } else { self.series.len() };
        let row = THICKNESS * bars as f64 + 14.0;
        let height = TOP + row * self.rows.len() as f64 + 16.0;
        let scale = BARS / self.longest();
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" viewBox=\"0 0 {WIDTH} {height:.0}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"16\" y=\"26\" font-size=\"17\" font-weight=\"bold\">{}</text>\n<text x=\"16\" y=\"50\" fill=\"#555\">{}</text>\n",
            escape(&self.title),
            escape(self.unit),
        );
        self.draw_legend(&mut svg);
        for (index, (label, values)) in self.rows.iter().enumerate() {
            let top = TOP + row * index as f64;
            let weight = if is_narthex(label) { "bold" } else { "normal" };
            let middle = top + THICKNESS * bars as f64 / 2.0 + 4.5;
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{middle:.1}\" text-anchor=\"end\" font-weight=\"{weight}\">{}</text>",
                LABELS - 10.0,
                escape(label)
            );
            if self.stacked {
                self.draw_stack(&mut svg, top, values, scale);
            } else {
                self.draw_group(&mut svg, top, values, scale);
            }
        }
        let _ = writeln!(
            svg,
            "<line x1=\"{LABELS}\" y1=\"{}\" x2=\"{LABELS}\" y2=\"{:.1}\" stroke=\"#888\"/>\n</svg>",
            TOP - 6.0,
            height - 16.0
        );
        svg
    }

    fn longest(&self) -> f64 {
        let length = |values: &Vec<Option<f64>>| {
            let values = values.iter().flatten().copied();
            if self.stacked { values.sum() } else { values.fold(0.0, f64::max) }
        };
        let longest = self.rows.iter().map(|(_, values)| length(values));
        longest.fold(f64::MIN_POSITIVE, f64::max)
    }

    fn draw_legend(&self, svg: &mut String) {
        if self.series.len() < 2 {
            return;
        }
        let mut x = LABELS;
        for (name, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"40\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{}\" y=\"51\">{}</text>",
                x + 18.0,
                escape(name)
            );
            x += 46.0 + 7.5 * name.len() as f64;
        }
    }

    fn draw_stack(&self, svg: &mut String, top: f64, values: &[Option<f64>], scale: f64) {
        let mut x = LABELS;
        for (value, colour) in values.iter().zip(COLOURS.iter().cycle()) {
            let width = value.unwrap_or(0.0) * scale;
            draw_bar(svg, x, top, width, colour);
            x += width;
        }
        let known: Vec<f64> = values.iter().flatten().copied().collect();
        let sum = (!known.is_empty()).then(|| known.iter().sum());
        self.draw_value(svg, x, top, sum);
    }

    fn draw_group(&self, svg: &mut String, top: f64, values: &[Option<f64>], scale: f64) {
        for (index, (value, colour)) in values.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let y = top + THICKNESS * index as f64;
            let width = value.unwrap_or(0.0) * scale;
            draw_bar(svg, LABELS, y, width, colour);
            self.draw_value(svg, LABELS + width, y, *value);
        }
    }

    fn draw_value(&self, svg: &mut String, x: f64, top: f64, value: Option<f64>) {
        let text = match value {
            Some(value) => format!("{value:.*}", self.digits),
            None => "not measured".to_owned(),
        };
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"12\" fill=\"#444\">{text}</text>", x + 6.0, top + 12.5);
    }
}

fn draw_bar(svg: &mut String, x: f64, y: f64, width: f64, colour: &str) {
    let _ =
        writeln!(svg, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\"/>", THICKNESS - 2.0);
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_space_and_names_are_escaped() {
        let chart = Chart {
            title: "CPU time".to_owned(),
            unit: "us",
            series: vec!["user".to_owned(), "system".to_owned()],
            stacked: true,
            digits: 1,
            rows: vec![("nginx -> app".to_owned(), vec![Some(3.0), Some(1.0)]), ("bare".to_owned(), vec![Some(1.0), None])],
        };
        let svg = chart.draw();
        assert!(svg.contains("nginx -&gt; app"));
        assert!(svg.contains("width=\"390.0\""), "3 of 4 parts of 520: {svg}");
        assert!(svg.contains(">4.0</text>"));
    }
}
