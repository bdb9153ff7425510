//! Rows whose columns are as wide as what stands in them, so that a table fits into a narrow terminal if it can.

/// Cells in columns: the first to the left, the others to the right.
#[derive(Debug, Default)]
pub(super) struct Columns {
    widths: Vec<usize>,
}

/// Between two columns.
const GAP: usize = 2;

impl Columns {
    /// Makes room for a row.
    pub(super) fn fit(&mut self, cells: &[String]) {
        self.widths.resize(self.widths.len().max(cells.len()), 0);
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = cell.chars().count().max(*width);
        }
    }

    /// The row as a line.
    pub(super) fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for (index, (width, cell)) in self.widths.iter().zip(cells).enumerate() {
            line.push_str(&match index {
                0 => format!("{:GAP$}{cell:<width$}", ""),
                _ => format!("{:GAP$}{cell:>width$}", ""),
            });
        }
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_as_wide_as_its_widest_cell() {
        let rows = [["", "p50", "p99"], ["latency", "273.7", "7229.4"], ["µs", "1.0", ""]]
            .map(|row| row.map(str::to_owned).to_vec());
        let mut columns = Columns::default();
        rows.iter().for_each(|row| columns.fit(row));
        let lines = rows.map(|row| columns.line(&row));
        assert_eq!(lines, ["             p50     p99", "  latency  273.7  7229.4", "  µs         1.0"]);
    }
}
