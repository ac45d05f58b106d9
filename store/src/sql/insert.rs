//! Inserts of many rows in few statements.

use super::statement::{Statement, Value};
use crate::Tenant;

/// Rows in one statement at most. Statements come in powers of two of rows, so that a connection's cache holds a
/// handful of prepared texts for each table whatever the sizes of requests are.
const MAX_ROWS: usize = 64;
/// Bytes of arguments in one statement, unless a single row has more.
const MAX_BYTES: usize = 4 << 20;

/// `INSERT INTO … (tenant, …) VALUES (…), (…) …`, split where it gets long. `head` ends before `VALUES`; its first column
/// is the tenant, which rows do not hold.
pub(super) fn insert(tenant: &Tenant, head: &str, rows: Vec<Vec<Value>>, tail: &str) -> Vec<Statement> {
    debug_assert!(head.contains("(tenant, "), "{head}");
    let mut statements = Vec::new();
    let owned = |row: Vec<Value>| std::iter::once(Value::from(tenant)).chain(row).collect::<Vec<_>>();
    let mut rows = rows.into_iter().map(owned).peekable();
    while rows.peek().is_some() {
        let mut chunk = Vec::new();
        let mut bytes = 0;
        while let Some(row) = rows.next_if(|row| chunk.is_empty() || bytes + size(row) <= MAX_BYTES) {
            bytes += size(&row);
            chunk.push(row);
            if chunk.len() == MAX_ROWS {
                break;
            }
        }
        while !chunk.is_empty() {
            let rest = chunk.split_off(largest_power_of_two(chunk.len()));
            statements.push(statement(head, chunk, tail));
            chunk = rest;
        }
    }
    statements
}

fn statement(head: &str, rows: Vec<Vec<Value>>, tail: &str) -> Statement {
    let mut sql = format!("{head} VALUES ");
    let mut parameter = 0;
    for (i, row) in rows.iter().enumerate() {
        sql.push_str(if i == 0 { "(" } else { ", (" });
        for column in 0..row.len() {
            parameter += 1;
            sql.push_str(if column == 0 { "$" } else { ", $" });
            sql.push_str(&parameter.to_string());
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(tail);
    let mut statement = Statement::wide_built(sql);
    statement.args = rows.into_iter().flatten().collect();
    statement
}

fn largest_power_of_two(n: usize) -> usize {
    1 << n.ilog2()
}

fn size(row: &[Value]) -> usize {
    row.iter()
        .map(|value| match value {
            Value::Text(Some(text)) => text.len(),
            Value::Bytes(Some(bytes)) => bytes.len(),
            _ => 8,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_row_once_in_order_and_few_texts(sizes in proptest::collection::vec(0_usize..3_000_000, 0..40)) {
            let rows: Vec<Vec<Value>> =
                sizes.iter().map(|&n| vec![Value::from(n as i64), Value::from(vec![0; n])]).collect();
            let statements = insert(&Tenant::DEFAULT, "INSERT INTO t (tenant, a, b)", rows, "");
            let mut seen = Vec::new();
            for statement in &statements {
                let rows = statement.args.len() / 3;
                prop_assert!(rows.is_power_of_two() && rows <= MAX_ROWS);
                let bytes: usize = statement.args.chunks(3).map(size).sum();
                prop_assert!(bytes <= MAX_BYTES + 32 * rows || rows == 1);
                for value in &statement.args {
                    if let Value::Int(Some(n)) = value {
                        seen.push(*n as usize);
                    }
                }
            }
            prop_assert_eq!(seen, sizes);
        }
    }

    #[test]
    fn placeholders_are_numbered_through() {
        let rows =
            vec![vec![Value::from(1_i64), Value::from(2_i64)], vec![Value::from(3_i64), Value::from(4_i64)]];
        let statements =
            insert(&Tenant::DEFAULT, "INSERT INTO t (tenant, a, b)", rows, "ON CONFLICT DO NOTHING");
        assert_eq!(statements.len(), 1);
        assert_eq!(
            statements[0].sql.as_str(),
            "INSERT INTO t (tenant, a, b) VALUES ($1, $2, $3), ($4, $5, $6) ON CONFLICT DO NOTHING"
        );
    }
}
