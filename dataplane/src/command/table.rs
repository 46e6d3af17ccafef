//! Tables for people: aligned columns, no frames, an empty cell is `-`.

use core::time::Duration;

use serde_json::Value;
use tabled::builder::Builder;
use tabled::settings::object::{Columns, Object as _, Rows};
use tabled::settings::{Alignment, Padding, Style};

/// Characters of a cell, without `-o wide`: more than any name that people chose.
const WIDEST: usize = 64;

/// One column: its heading, and what a row shows there.
pub(super) struct Column {
    heading: &'static str,
    cell: fn(&Value) -> String,
    /// Numbers are aligned at their end.
    number: bool,
    /// Only with `-o wide`.
    wide: bool,
}

/// A column of text.
pub(super) const fn text(heading: &'static str, cell: fn(&Value) -> String) -> Column {
    Column {
        heading,
        cell,
        number: false,
        wide: false,
    }
}

/// A column of numbers.
pub(super) const fn number(heading: &'static str, cell: fn(&Value) -> String) -> Column {
    Column {
        heading,
        cell,
        number: true,
        wide: false,
    }
}

impl Column {
    /// Only with `-o wide`.
    pub(super) const fn wide(self) -> Self {
        Self { wide: true, ..self }
    }
}

/// The rows as text, headings first.
pub(super) fn render(columns: &[Column], rows: &[Value], wide: bool) -> String {
    let columns: Vec<&Column> = columns
        .iter()
        .filter(|column| wide || !column.wide)
        .collect();
    let mut builder = Builder::default();
    builder.push_record(columns.iter().map(|column| column.heading));
    for row in rows {
        builder.push_record(columns.iter().map(|column| {
            let cell = (column.cell)(row);
            if cell.is_empty() {
                "-".to_owned()
            } else if wide {
                cell
            } else {
                cut(cell)
            }
        }));
    }
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(0, 2, 0, 0));
    for (index, _) in columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.number)
    {
        table.modify(
            Columns::one(index).intersect(Rows::new(0..)),
            Alignment::right(),
        );
    }
    let text = table.to_string();
    let lines = text.lines().map(str::trim_end);
    lines
        .flat_map(|line| {
            [
                line, "
",
            ]
        })
        .collect()
}

/// One long name is not to push the columns of all rows apart; `-o wide` shows it whole.
fn cut(cell: String) -> String {
    if cell.chars().count() <= WIDEST {
        return cell;
    }
    let kept: String = cell.chars().take(WIDEST - 3).collect();
    kept + "..."
}

/// Names and values below one another.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    let shown = facts.iter().filter(|(_, value)| !value.is_empty());
    let lines = shown.map(|(name, value)| {
        format!(
            "{name:width$}  {value}
"
        )
    });
    lines.collect::<Vec<_>>().concat()
}

/// The value at a path of keys as text: nothing for what is not there.
pub(super) fn at(value: &Value, path: &[&str]) -> String {
    match path.iter().try_fold(value, |value, key| value.get(key)) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => escape(text),
        Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| at(item, &[]))
            .collect::<Vec<_>>()
            .join(" "),
        Some(other @ (Value::Number(_) | Value::Object(_))) => other.to_string(),
    }
}

/// The number at a path of keys.
pub(super) fn count(value: &Value, path: &[&str]) -> u64 {
    path.iter()
        .try_fold(value, |value, key| value.get(key))
        .and_then(Value::as_u64)
        .unwrap_or(0)
}

/// What a peer chose must not move the cursor.
fn escape(text: &str) -> String {
    text.chars()
        .flat_map(|char| {
            if char.is_control() {
                char.escape_default().collect::<Vec<_>>()
            } else {
                vec![char]
            }
        })
        .collect()
}

/// `2d 03:04:05`, as short as it goes.
pub(super) fn age(seconds: u64) -> String {
    let (days, hours, minutes, rest) = (
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    );
    match days {
        0 => format!("{hours:02}:{minutes:02}:{rest:02}"),
        days => format!("{days}d {hours:02}:{minutes:02}:{rest:02}"),
    }
}

/// A number with its thousands apart.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Octets in the largest unit that leaves something before the point.
pub(super) fn octets(octets: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1_000),
    ];
    match UNITS.iter().find(|(_, size)| octets >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", octets / size, octets % size * 10 / size),
        None => format!("{octets} B"),
    }
}

/// Bits per second in the largest unit in which they are a whole number.
pub(super) fn bits(per_second: u64) -> String {
    const UNITS: [(&str, u64); 3] = [
        ("Gbit/s", 1_000_000_000),
        ("Mbit/s", 1_000_000),
        ("kbit/s", 1_000),
    ];
    let whole = |size: u64| per_second >= size && per_second.is_multiple_of(size);
    match UNITS.iter().find(|(_, size)| whole(*size)) {
        Some((unit, size)) => format!("{} {unit}", thousands(per_second / size)),
        None => format!("{} bit/s", thousands(per_second)),
    }
}

/// How long ago a time in seconds since 1970 was.
pub(super) fn since(unix_seconds: u64) -> String {
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or(Duration::ZERO)
        .as_secs();
    age(now.saturating_sub(unix_seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_long_name_is_cut_in_a_table_and_whole_in_a_wide_one() {
        let columns = [text("USER", |row| at(row, &["user"]))];
        let long = "x".repeat(200);
        let rows = [serde_json::json!({ "user": long })];
        let shown = render(&columns, &rows, false);
        assert_eq!(shown, format!("USER\n{}...\n", "x".repeat(WIDEST - 3)));
        assert!(render(&columns, &rows, true).contains(&long));
    }

    #[test]
    fn columns_are_aligned_and_no_line_has_blanks_at_its_end() {
        let columns = [
            text("NAME", |row| at(row, &["name"])),
            number("COUNT", |row| at(row, &["count"])),
            text("NOTE", |row| at(row, &["note"])).wide(),
        ];
        let rows = [
            json!({ "name": "a", "count": 5 }),
            json!({ "name": "longer", "count": 1200, "note": "x\u{1b}[2J" }),
        ];
        assert_eq!(
            render(&columns, &rows, false),
            "NAME    COUNT\na           5\nlonger   1200\n"
        );
        assert_eq!(
            render(&columns, &rows, true),
            "NAME    COUNT  NOTE\na           5  -\nlonger   1200  x\\u{1b}[2J\n"
        );
    }

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(thousands),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [0, 999, 1_500, 2_340_000_000].map(octets),
            ["0 B", "999 B", "1.5 kB", "2.3 GB"]
        );
        assert_eq!(
            [0, 64_000, 1_500_000, 50_000_000, 10_000_000_000, 12_345].map(bits),
            [
                "0 bit/s",
                "64 kbit/s",
                "1,500 kbit/s",
                "50 Mbit/s",
                "10 Gbit/s",
                "12,345 bit/s"
            ]
        );
        assert_eq!(
            [5, 3_661, 93_784].map(age),
            ["00:00:05", "01:01:01", "1d 02:03:04"]
        );
    }
}
