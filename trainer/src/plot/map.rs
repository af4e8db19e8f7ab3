//! Maps: points on a plane whose axes mean nothing, side by side, in the colours of their labels.

use std::fmt::Write;

use super::{GRID, INK, PAPER, QUIET, escaped, hue, style};
use plotters::style::RGBColor;

/// Points of one map.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    pub(crate) title: String,
    /// What stands below it.
    pub(crate) below: String,
    /// Names of the labels, by number.
    pub(crate) labels: Vec<String>,
    /// Place and number of the label.
    pub(crate) points: Vec<([f64; 2], usize)>,
}

/// Side of a map and what is around it, pixels.
const SIDE: f64 = 440.0;
const MARGIN: f64 = 18.0;
const HEAD: f64 = 44.0;
const LINE: f64 = 18.0;

/// Maps side by side as SVG. Labels beyond the colours are rings, then the colours begin anew.
pub(crate) fn draw_maps(title: &str, maps: &[Map]) -> String {
    let lines = maps.iter().map(|map| map.labels.len()).max().unwrap_or_default() as f64;
    let width = (SIDE + 2.0 * MARGIN) * maps.len().max(1) as f64;
    let height = HEAD + SIDE + MARGIN + LINE * (lines + 1.5);
    let mut svg = format!(
        "<svg role=\"img\" aria-label=\"{}\" class=\"plot\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" xmlns=\"http://www.w3.org/2000/svg\" font-family=\"system-ui, sans-serif\">\n{}\
         <rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>\n",
        escaped(title),
        style(),
        hex(PAPER.0)
    );
    for (number, map) in maps.iter().enumerate() {
        draw_map(&mut svg, map, number as f64 * (SIDE + 2.0 * MARGIN) + MARGIN);
    }
    svg + "</svg>\n"
}

fn draw_map(svg: &mut String, map: &Map, left: f64) {
    let mut add = |text: std::fmt::Arguments<'_>| {
        // A string takes all that is written to it.
        let _ = svg.write_fmt(text);
    };
    let said = |text: &str| escaped(text).replace('>', "&gt;");
    let (ink, quiet, grid) = (hex(INK.0), hex(QUIET.0), hex(GRID.0));
    add(format_args!(
        "<text x=\"{left}\" y=\"28\" font-size=\"15\" font-weight=\"bold\" fill=\"{ink}\">{}</text>\n\
         <rect x=\"{left}\" y=\"{HEAD}\" width=\"{SIDE}\" height=\"{SIDE}\" fill=\"none\" stroke=\"{grid}\"/>\n",
        said(&map.title)
    ));
    let ends = |axis: usize| {
        let places = map.points.iter().map(|(place, _)| place[axis]);
        places.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), one| (low.min(one), high.max(one)))
    };
    let ([low_x, high_x], [low_y, high_y]) = (<[f64; 2]>::from(ends(0)), <[f64; 2]>::from(ends(1)));
    // One scale for both axes: a map is not stretched.
    let span = (high_x - low_x).max(high_y - low_y).max(1e-12) * 1.08;
    let place = |[x, y]: [f64; 2]| {
        let at = |value: f64, low: f64, high: f64| (0.5 + (value - 0.5 * (low + high)) / span) * SIDE;
        [left + at(x, low_x, high_x), HEAD + at(y, low_y, high_y)]
    };
    let mark = |[x, y]: [f64; 2], label: usize| {
        let colour = hex(hue(label).0);
        let fill = if (label / super::HUES.len()).is_multiple_of(2) { &*colour } else { "none" };
        format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{fill}\" fill-opacity=\"0.7\" stroke=\"{colour}\"/>\n"
        )
    };
    for &(at, label) in map.points.iter().filter(|(at, _)| at.iter().all(|one| one.is_finite())) {
        add(format_args!("{}", mark(place(at), label)));
    }
    let mut y = HEAD + SIDE + LINE;
    add(format_args!("<text x=\"{left}\" y=\"{y}\" font-size=\"12\" fill=\"{quiet}\">{}</text>\n", said(&map.below)));
    for (label, name) in map.labels.iter().enumerate() {
        y += LINE;
        let count = map.points.iter().filter(|point| point.1 == label).count();
        add(format_args!(
            "{}<text x=\"{}\" y=\"{y}\" font-size=\"12\" fill=\"{ink}\">{} ({count})</text>\n",
            mark([left + 6.0, y - 4.0], label),
            left + 16.0,
            said(name)
        ));
    }
}

fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_a_circle_in_its_map_and_every_label_is_named() {
        let points = vec![([-3.0, 1.0], 0), ([5.0, 2.0], 1), ([0.0, 9.0], 8), ([f64::NAN, 0.0], 0)];
        let labels: Vec<String> = (0..9).map(|label| format!("label <{label}>")).collect();
        let map = Map { title: "a & b".into(), below: "purity 0.5".into(), labels, points };
        let svg = draw_maps("two maps", &[map.clone(), map]);
        assert_eq!(svg.matches("<circle").count(), 2 * (3 + 9));
        assert!(svg.contains("a &amp; b") && svg.contains("label &lt;8&gt; (1)") && !svg.contains("NaN"));
        let of = |name: &str| -> Vec<f64> {
            svg.split(name).skip(1).map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect()
        };
        assert!(of("cx=\"").iter().all(|x| (0.0..=2.0 * (SIDE + 2.0 * MARGIN)).contains(x)));
        assert!(of("cy=\"").iter().all(|y| (0.0..=HEAD + SIDE + MARGIN + LINE * 11.0).contains(y)));
        let none = Map { title: String::new(), below: String::new(), labels: vec![], points: vec![] };
        assert!(!draw_maps("", &[none]).contains("inf"));
    }
}
