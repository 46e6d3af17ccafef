//! Histograms as SVG.

use std::fmt::Write as _;

/// Columns of a histogram.
const COLUMNS: usize = 20;
/// Size of the picture and of its parts, pixels.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 240.0;
const MARGIN: f64 = 40.0;

/// Where a histogram begins, how wide its columns are, and how many values are in each.
#[derive(Debug, PartialEq)]
struct Columns {
    from: f64,
    width: f64,
    counts: Vec<usize>,
}

impl Columns {
    fn of(values: &[f64]) -> Self {
        let from = values.iter().copied().fold(f64::INFINITY, f64::min);
        let to = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let width = ((to - from) / COLUMNS as f64).max(f64::MIN_POSITIVE);
        let mut counts = vec![0; COLUMNS];
        for value in values {
            let column = ((value - from) / width) as usize;
            if let Some(count) = counts.get_mut(column.min(COLUMNS - 1)) {
                *count += 1;
            }
        }
        Self {
            from,
            width,
            counts,
        }
    }
}

/// How many of `values` are where; `name` says what they are, and in which unit.
pub(super) fn histogram(name: &str, values: &[f64]) -> String {
    let columns = Columns::of(values);
    let most = columns.counts.iter().copied().max().unwrap_or(1).max(1);
    let (wide, high) = (WIDTH - 2.0 * MARGIN, HEIGHT - 2.0 * MARGIN);
    let step = wide / COLUMNS as f64;
    let base = HEIGHT - MARGIN;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{MARGIN}\" y=\"20\">{name}: {} runs</text>\n",
        values.len()
    );
    for (number, count) in columns.counts.iter().enumerate().filter(|(_, it)| **it > 0) {
        let (x, tall) = (
            MARGIN + number as f64 * step,
            high * *count as f64 / most as f64,
        );
        // Writing into a String does not fail.
        writeln!(
            text,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\" fill=\"#4a7\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{count}</text>",
            x + 1.0,
            base - tall,
            step - 2.0,
            x + step / 2.0,
            base - tall - 3.0
        )
        .ok();
    }
    let end = columns.from + columns.width * COLUMNS as f64;
    for (x, value) in [
        (MARGIN, columns.from),
        (WIDTH / 2.0, columns.from.midpoint(end)),
        (WIDTH - MARGIN, end),
    ] {
        writeln!(
            text,
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{value:.0}</text>",
            base + 16.0
        )
        .ok();
    }
    text + &format!(
        "<line x1=\"{MARGIN}\" y1=\"{base}\" x2=\"{}\" y2=\"{base}\" stroke=\"black\"/>\n</svg>\n",
        WIDTH - MARGIN
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_column() {
        let columns = Columns::of(&[0.0, 1.0, 5.0, 20.0]);
        assert_eq!(columns.counts.iter().sum::<usize>(), 4);
        assert_eq!(columns.counts[0], 1);
        assert_eq!(columns.counts[COLUMNS - 1], 1);
        let one = Columns::of(&[7.0, 7.0]);
        assert_eq!(one.counts.iter().sum::<usize>(), 2);
    }

    #[test]
    fn a_plot_says_what_it_shows() {
        let text = histogram("gap, ms", &[1.0, 2.0]);
        assert!(text.contains("gap, ms: 2 runs") && text.ends_with("</svg>\n"));
    }
}
