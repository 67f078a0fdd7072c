//! Plain tables: columns as wide as their widest cell, two blanks between them.

/// Lays out rows below a heading. Cells must be plain text; colour the result's lines, not the cells.
#[must_use]
pub fn render(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|cell| console::measure_text_width(cell)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(console::measure_text_width(cell));
        }
    }
    let line = |cells: &[&str]| {
        let mut out = String::new();
        for (n, cell) in cells.iter().enumerate() {
            out.push_str(cell);
            if n + 1 < cells.len() {
                let pad = widths[n].saturating_sub(console::measure_text_width(cell)) + 2;
                out.extend(std::iter::repeat_n(' ', pad));
            }
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        out
    };
    let mut out = line(heading);
    for row in rows {
        out.push_str(&line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["a", "long", "x"]), row(["b", "", ""])];
        assert_eq!(super::render(&["name", "b", "c"], &rows), "name  b     c\na     long  x\nb\n");
    }
}
