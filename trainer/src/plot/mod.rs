//! Line plots as SVG, in colours that people tell apart (Okabe and Ito), light and dark as the reader's screen is.

mod axis;
mod map;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use sonoseg_imaging::metrics::measure::Metric;

use axis::{Axis, drawable, tick_label};
pub(crate) use map::{Map, draw_maps};
use sonoseg_core::tasks::LOSS;

/// A colour on light and on dark ground.
type Hue = (RGBColor, &'static str);

const INK: Hue = (RGBColor(0x24, 0x29, 0x2F), "#E6E8EB");
const QUIET: Hue = (RGBColor(0x66, 0x6E, 0x78), "#A3ABB5");
const GRID: Hue = (RGBColor(0xE2, 0xE5, 0xE9), "#30363D");
const PAPER: Hue = (RGBColor(0xFF, 0xFF, 0xFE), "#171A1F");
const HUES: [Hue; 7] = [
    (RGBColor(0x00, 0x72, 0xB2), "#56B4E9"),
    (RGBColor(0xD5, 0x5E, 0x00), "#FF8F40"),
    (RGBColor(0x00, 0x8F, 0x68), "#2CC79A"),
    (RGBColor(0xAA, 0x4A, 0x8C), "#E29AC6"),
    (RGBColor(0x8A, 0x6D, 0x00), "#E6C229"),
    (RGBColor(0x3D, 0x6B, 0x99), "#8FB8E0"),
    (RGBColor(0x5F, 0x64, 0x6B), "#C0C4CA"),
];

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stroke {
    Line,
    /// Thin and pale, for what is noisy.
    Faint,
    /// A ring at every point.
    Rings,
    /// A bar from every other point, which is its lower end, to the next one, above it. It has no entry in the legend.
    Bars,
}

/// Values over x, in order of x. Undefined values leave a gap.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Number of its colour.
    pub(crate) hue: usize,
    pub(crate) stroke: Stroke,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Range of the values of a panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    /// As wide as they are; logarithmic where that shows more.
    Fitted,
    /// From 0.
    FromZero,
    /// 0 to 1.
    Share,
}

impl Values {
    /// Those of a metric.
    pub(crate) fn of(metric: &Metric) -> Self {
        match &*metric.unit {
            _ if metric.name == LOSS => Self::Fitted,
            "" => Self::Share,
            _ => Self::FromZero,
        }
    }
}

/// One plot over epochs.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) values: Values,
    pub(crate) series: Vec<Series>,
}

const WIDTH: i32 = 1000;
/// Height of a plot without its title and legend.
const BODY: i32 = 280;
/// A legend entry: its stroke, the gap after it, and the width of a letter.
const SWATCH: i32 = 18;
const GAP: i32 = 6;
const LETTER: i32 = 7;
/// What a panel has on the left and right of its plot.
const MARGINS: i32 = 86;
/// Half the width of an error bar's ends, in steps of the axis.
const CAP: f64 = 0.08;
/// More points than this cannot be seen.
const MOST_POINTS: usize = 600;

/// Draw panels over epochs, see [`draw_over`].
pub(crate) fn draw(title: &str, panels: &[Panel]) -> Result<Option<String>> {
    draw_over("epoch", title, panels)
}

/// What panels are drawn over.
#[derive(Clone, Debug)]
pub(crate) enum Across {
    /// Something that is counted from 0, as far as the longest panel goes.
    Count(String),
    /// A share, 0 to 1.
    Share(String),
    /// So many names: x is their number from 1.
    Names(String, Vec<String>),
}

/// Draw panels over what `across` counts, see [`draw_each`].
pub(crate) fn draw_over(across: &str, title: &str, panels: &[Panel]) -> Result<Option<String>> {
    let panels: Vec<(Across, Panel)> =
        panels.iter().map(|panel| (Across::Count(across.to_owned()), panel.clone())).collect();
    draw_each(title, &panels)
}

/// Draw panels side by side, two in a row, each over its own; one in a row where names need the room. Panels without any value are left out; `None` when none is left.
pub(crate) fn draw_each(title: &str, panels: &[(Across, Panel)]) -> Result<Option<String>> {
    let panels: Vec<(&Across, &Panel, Axis)> =
        panels.iter().filter_map(|(across, panel)| Some((across, panel, panel.axis()?))).collect();
    if panels.is_empty() {
        return Ok(None);
    }
    let named = panels.iter().any(|(across, ..)| matches!(across, Across::Names(..)));
    let rows: Vec<&[(&Across, &Panel, Axis)]> = panels.chunks(if named { 1 } else { 2 }).collect();
    let width = |row: &[(&Across, &Panel, Axis)]| WIDTH / row.len() as i32;
    let height = |row: &[(&Across, &Panel, Axis)]| {
        let tops = row.iter().map(|(_, panel, _)| Legend::new(&panel.series, width(row)).bottom);
        BODY + tops.max().unwrap_or_default()
    };
    let size = (WIDTH as u32, rows.iter().map(|row| height(row)).sum::<i32>() as u32);
    let longest = panels.iter().flat_map(|(_, panel, _)| panel.drawable()).map(|(x, _)| x).fold(0.0, f64::max);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&PAPER.0).map_err(failed)?;
        let mut top = 0;
        for row in &rows {
            for (column, (across, panel, axis)) in row.iter().enumerate() {
                let area = root.clone().shrink((width(row) * column as i32, top), (width(row), height(row)));
                draw_panel(&area, panel, axis.clone(), (across, across.axis(longest)))?;
            }
            top += height(row);
        }
        root.present().map_err(failed)?;
    }
    let head = format!("<svg role=\"img\" aria-label=\"{}\" class=\"plot\" ", escaped(title));
    Ok(Some(svg.replacen("<svg ", &head, 1).replacen(">\n", &format!(">\n{}", style()), 1)))
}

impl Across {
    fn axis(&self, longest: f64) -> Axis {
        match self {
            Self::Count(_) => Axis::counting(longest.ceil()),
            Self::Share(_) => Axis::share(),
            Self::Names(_, names) => Axis::named(names.len()),
        }
    }

    fn title(&self) -> &str {
        match self {
            Self::Count(title) | Self::Share(title) | Self::Names(title, _) => title,
        }
    }

    /// Labels at most.
    fn labels(&self) -> usize {
        match self {
            Self::Count(_) | Self::Share(_) => 10,
            Self::Names(_, names) => names.len() + 1,
        }
    }

    /// The label of a tick in a panel of this width: names are cut to their room.
    fn label(&self, value: f64, width: i32) -> String {
        let Self::Names(_, names) = self else { return tick_label(value) };
        let Some(name) = names.get((value.round() as usize).wrapping_sub(1)) else { return String::new() };
        let room = (width - MARGINS) / (LETTER * names.len() as i32);
        let room = room.max(2) as usize;
        if name.chars().count() <= room { name.clone() } else { name.chars().take(room - 1).chain(['…']).collect() }
    }
}

impl Panel {
    /// The axis of the values; none when there are none.
    fn axis(&self) -> Option<Axis> {
        let values = || self.drawable().map(|(_, y)| y);
        let fitted = Axis::fitted(values())?;
        Some(match self.values {
            Values::Fitted => fitted,
            Values::FromZero => Axis::from_zero(values().fold(0.0, f64::max)),
            Values::Share => Axis::share(),
        })
    }

    fn drawable(&self) -> impl Iterator<Item = (f64, f64)> {
        let points = self.series.iter().flat_map(|series| series.points.iter().copied());
        points.filter(|&(x, y)| drawable(x) && drawable(y))
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw_panel(area: &Area<'_>, panel: &Panel, y: Axis, (across, x): (&Across, Axis)) -> Result<()> {
    let title = if y.is_logarithmic() { format!("{} (logarithmic)", panel.title) } else { panel.title.clone() };
    area.draw_text(&title, &text(15.0, INK, FontStyle::Bold), (16, 22)).map_err(failed)?;
    let width = area.dim_in_pixel().0 as i32;
    let legend = Legend::new(&panel.series, width);
    draw_legend(area, &legend)?;
    let mut chart = ChartBuilder::on(area)
        .margin_top(legend.bottom)
        .margin_right(22)
        .margin_left(8)
        .margin_bottom(8)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(x, y)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .x_labels(across.labels())
        .y_labels(6)
        .max_light_lines(1)
        .disable_x_mesh()
        .bold_line_style(GRID.0)
        .light_line_style(TRANSPARENT)
        .axis_style(GRID.0)
        .x_desc(across.title())
        .label_style(text(12.0, QUIET, FontStyle::Normal))
        .axis_desc_style(text(12.0, QUIET, FontStyle::Normal))
        .x_label_formatter(&|&value| across.label(value, width))
        .y_label_formatter(&|&value| tick_label(value))
        .draw()
        .map_err(failed)?;
    for series in &panel.series {
        let (colour, _) = hue(series.hue);
        if series.stroke == Stroke::Bars {
            let bars =
                series.points.chunks_exact(2).filter(|ends| ends.iter().all(|&(x, y)| drawable(x) && drawable(y)));
            let lines = bars.flat_map(|ends| {
                let cap = |(x, y): (f64, f64)| vec![(x - CAP, y), (x + CAP, y)];
                [ends.to_vec(), cap(ends[0]), cap(ends[1])]
            });
            let lines = lines.map(|line| PathElement::new(line, colour.stroke_width(1)));
            chart.draw_series(lines).map(|_| ()).map_err(failed)?;
            continue;
        }
        for piece in pieces(&thinned(&series.points)) {
            match (series.stroke, piece.as_slice()) {
                (Stroke::Rings, points) => {
                    let rings = points.iter().map(|&point| Circle::new(point, 6, colour.stroke_width(2)));
                    chart.draw_series(rings).map(|_| ()).map_err(failed)?;
                }
                (_, [alone]) => {
                    chart.draw_series([Circle::new(*alone, 3, colour.filled())]).map(|_| ()).map_err(failed)?;
                }
                (stroke, _) => {
                    let style =
                        if stroke == Stroke::Faint { colour.mix(0.4).stroke_width(1) } else { colour.stroke_width(2) };
                    chart.draw_series(LineSeries::new(piece, style)).map(|_| ()).map_err(failed)?;
                }
            }
        }
    }
    Ok(())
}

/// Names beside strokes of their colours, in as many lines as they need.
struct Legend<'a> {
    /// Series with the left end of their strokes.
    entries: Vec<(&'a Series, (i32, i32))>,
    /// Where the plot may begin.
    bottom: i32,
}

impl<'a> Legend<'a> {
    fn new(series: &'a [Series], width: i32) -> Self {
        // One line needs no name beside the title.
        let named = |one: &&Series| one.stroke != Stroke::Bars;
        if series.iter().filter(named).count() < 2 {
            return Self { entries: Vec::new(), bottom: 44 };
        }
        let (mut x, mut y) = (16, 44);
        let mut entries = Vec::new();
        for one in series.iter().filter(named).filter(|one| one.points.iter().any(|&(_, value)| drawable(value))) {
            let needed = SWATCH + GAP + LETTER * one.name.chars().count() as i32;
            if x > 16 && x + needed > width - 16 {
                (x, y) = (16, y + 18);
            }
            entries.push((one, (x, y)));
            x += needed + 2 * SWATCH;
        }
        Self { entries, bottom: y + 20 }
    }
}

fn draw_legend(area: &Area<'_>, legend: &Legend<'_>) -> Result<()> {
    for &(series, (x, y)) in &legend.entries {
        let (colour, _) = hue(series.hue);
        match series.stroke {
            Stroke::Rings => {
                area.draw(&Circle::new((x + SWATCH / 2, y), 5, colour.stroke_width(2))).map_err(failed)?;
            }
            stroke => {
                let style =
                    if stroke == Stroke::Faint { colour.mix(0.4).stroke_width(2) } else { colour.stroke_width(3) };
                area.draw(&PathElement::new(vec![(x, y), (x + SWATCH, y)], style)).map_err(failed)?;
            }
        }
        area.draw_text(&series.name, &text(12.0, INK, FontStyle::Normal), (x + SWATCH + GAP, y)).map_err(failed)?;
    }
    Ok(())
}

fn hue(number: usize) -> Hue {
    HUES[number % HUES.len()]
}

/// Text of a size in pixels.
fn text(size: f64, (colour, _): Hue, weight: FontStyle) -> TextStyle<'static> {
    // The backend divides by 1.24, the ratio of a line to its letters.
    let font = ("system-ui, sans-serif", size * 1.24, weight).into_font();
    font.color(&colour).pos(Pos::new(HPos::Left, VPos::Center))
}

/// Neighbours averaged until the points are few enough.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let portion = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |chunk: &[(f64, f64)]| {
        let count = chunk.len() as f64;
        (chunk.iter().map(|p| p.0).sum::<f64>() / count, chunk.iter().map(|p| p.1).sum::<f64>() / count)
    };
    points.chunks(portion).map(mean).collect()
}

/// The unbroken pieces of a line.
fn pieces(points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    let broken = points.split(|&(x, y)| !drawable(x) || !drawable(y));
    broken.filter(|piece| !piece.is_empty()).map(<[_]>::to_vec).collect()
}

/// Dark colours for those who look at the dark.
fn style() -> String {
    let swap = |(light, dark): &Hue| {
        let RGBColor(red, green, blue) = light;
        let light = format!("#{red:02X}{green:02X}{blue:02X}");
        format!(".plot [fill=\"{light}\"]{{fill:{dark}}}.plot [stroke=\"{light}\"]{{stroke:{dark}}}")
    };
    let rules: String = HUES.iter().chain(&[INK, QUIET, GRID, PAPER]).map(swap).collect();
    format!("<style>@media (prefers-color-scheme:dark){{{rules}}}</style>\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("the plot cannot be drawn: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(name: &str, points: &[(f64, f64)], stroke: Stroke) -> Panel {
        let series = Series { name: name.into(), hue: 0, stroke, points: points.to_vec() };
        Panel { title: "loss".into(), values: Values::Fitted, series: vec![series] }
    }

    #[test]
    fn any_history_can_be_drawn() {
        let nan = f64::NAN;
        let tries: [&[(f64, f64)]; 6] = [
            &[(1.0, 0.5)],
            &[(1.0, 0.0), (2.0, 0.0)],
            &[(1.0, nan), (2.0, 3.0), (3.0, nan), (4.0, f64::INFINITY), (5.0, -2.0)],
            &[(1.0, 1e-9), (2.0, 1e9)],
            &[(0.0, 5e-324), (1.0, 1e99)],
            &[(1.0, -1e99), (2.0, 1e99), (3.0, 1e308)],
        ];
        for points in tries {
            for stroke in [Stroke::Line, Stroke::Faint, Stroke::Rings, Stroke::Bars] {
                let svg = draw("t", &[panel("a", points, stroke)]).unwrap().unwrap();
                assert!(svg.starts_with("<svg role=") && svg.trim_end().ends_with("</svg>"), "{points:?}");
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{points:?}: {svg}");
            }
        }
        assert!(draw("t", &[panel("a", &[(1.0, nan)], Stroke::Line)]).unwrap().is_none());
    }

    #[test]
    fn error_bars_have_a_line_and_two_ends_and_no_name() {
        let bars = |points: &[(f64, f64)]| {
            let mut one = panel("mean", &[(1.0, 0.5), (2.0, 0.7)], Stroke::Line);
            one.series.push(Series { name: "spread".into(), hue: 0, stroke: Stroke::Bars, points: points.to_vec() });
            draw_over("blocks", "t", &[one]).unwrap().unwrap()
        };
        // The same range of values, so that both have the same grid.
        let none = bars(&[(1.0, 0.4), (1.0, f64::NAN), (2.0, 0.8), (2.0, f64::NAN)]);
        let two = bars(&[(1.0, 0.4), (1.0, 0.6), (2.0, 0.6), (2.0, 0.8)]);
        assert_eq!(two.matches("<polyline").count(), none.matches("<polyline").count() + 6);
        assert!(two.contains("blocks") && !two.contains("spread") && !two.contains("epoch"));
    }

    #[test]
    fn names_stand_below_their_values_and_are_cut_to_their_room() {
        let panel = panel("IoU", &[(1.0, 0.5), (2.0, 0.25), (3.0, 0.75)], Stroke::Rings);
        let draw = |names: &[&str]| {
            let names = names.iter().map(|&name| name.to_owned()).collect();
            draw_each("t", &[(Across::Names("angle".into(), names), panel.clone())]).unwrap().unwrap()
        };
        let svg = draw(&["0 to 15", "15 to 30", "a name that is longer than a third of the width of all this"]);
        for name in ["0 to 15", "15 to 30", "a name that is longer than a third of the …", "angle"] {
            assert!(svg.contains(name), "{name} is not in\n{svg}");
        }
        assert!(!svg.contains(">4<") && svg.matches("<circle").count() == 3);
        let share = draw_each("t", &[(Across::Share("confidence".into()), panel)]).unwrap().unwrap();
        assert!(share.contains(">\n0.2\n<") && share.contains("confidence"), "{share}");
    }

    #[test]
    fn a_long_legend_makes_room_for_itself() {
        let name = |i| format!("a run with a name that is rather long, number {i}");
        let many = |count| {
            let series = (0..count).map(|i| Series {
                name: name(i),
                hue: i,
                stroke: Stroke::Line,
                points: vec![(0.0, 1.0), (1.0, 2.0)],
            });
            let panel = Panel { title: "t".into(), values: Values::Share, series: series.collect() };
            let svg = draw("t", &[panel.clone(), panel]).unwrap().unwrap();
            let height = svg.split("height=\"").nth(1).unwrap().split('"').next().unwrap().parse::<i32>().unwrap();
            assert_eq!(svg.matches("number ").count(), if count > 1 { 2 * count } else { 0 });
            height
        };
        assert_eq!([many(1), many(2), many(60)], [BODY + 44, BODY + 64 + 18, BODY + 64 + 59 * 18]);
    }

    #[test]
    fn names_are_escaped_and_long_lines_thinned() {
        let points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        let mut one = panel("x<y & z", &points, Stroke::Faint);
        one.series.push(Series { name: "best".into(), hue: 1, stroke: Stroke::Rings, points: vec![(5.0, 5.0)] });
        let svg = draw("a \"b\" <c>", &[one]).unwrap().unwrap();
        assert!(svg.contains("x&lt;y &amp; z") && svg.contains("aria-label=\"a &quot;b&quot; &lt;c>\""));
        assert!(svg.len() < 20_000, "{} bytes", svg.len());
        let means = thinned(&points);
        assert_eq!((means.len(), means[0]), (589, (8.0, means[0].1)));
    }
}
