//! Named columns over the candidates of one pool.

/// A table of features: one row a candidate, one column a feature. NaN stands for "not known".
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Matrix {
    names: Vec<&'static str>,
    columns: Vec<Vec<f64>>,
    rows: usize,
}

impl Matrix {
    /// No columns yet, over that many candidates.
    pub(crate) fn new(rows: usize) -> Self {
        Self { rows, ..Self::default() }
    }

    /// Adds a column. Infinite values become unknown.
    pub(crate) fn push(&mut self, name: &'static str, mut column: Vec<f64>) {
        debug_assert_eq!(column.len(), self.rows, "column {name}");
        for value in &mut column {
            if !value.is_finite() {
                *value = f64::NAN;
            }
        }
        self.names.push(name);
        self.columns.push(column);
    }

    /// The columns' names, in order.
    pub(crate) fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// The columns less their means over the candidates, row by row; what is not known becomes 0, the pool's mean.
    ///
    /// Only differences within a pool can tell candidates apart, so this is all that a listwise ranker sees.
    pub(crate) fn centred_rows(&self) -> Vec<Vec<f64>> {
        let mut rows = vec![vec![0.0; self.columns.len()]; self.rows];
        for (at, column) in self.columns.iter().enumerate() {
            let known = || column.iter().filter(|value| !value.is_nan());
            let mean = known().sum::<f64>() / known().count().max(1) as f64;
            for (row, value) in rows.iter_mut().zip(column) {
                row[at] = if value.is_nan() { 0.0 } else { value - mean };
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_values_stand_at_the_mean() {
        let mut matrix = Matrix::new(3);
        matrix.push("a", vec![1.0, f64::NAN, 3.0]);
        matrix.push("b", vec![f64::INFINITY, f64::NAN, f64::NAN]);
        assert_eq!(matrix.centred_rows(), [[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]);
        assert_eq!(matrix.names(), ["a", "b"]);
    }
}
