//! What a table makes of rows.
//!
//! Other trainers read rows into Arrow tables, in which all values of a column have the same fields: what a row lacks
//! becomes null, fields come in the order in which they are first seen, and whole numbers beside fractions become
//! fractions. A tool call then has the arguments of every tool, most of them null, and templates print them. That is
//! a defect, but whoever compares with these trainers has to share it.

use serde_json::{Map, Value};

/// What the values at one place of all rows have in common.
#[derive(Debug, Clone, Default, PartialEq)]
enum Shape {
    /// Only nulls so far.
    #[default]
    Nothing,
    /// Texts, truth values, or values of different kinds, which no table takes.
    Other,
    Number {
        fractions: bool,
    },
    List(Box<Shape>),
    /// Fields in the order in which they were first seen.
    Fields(Vec<(String, Shape)>),
}

/// Gives all rows the same fields, as a table would.
pub(super) fn as_table<'a>(rows: impl Iterator<Item = &'a mut Value>) {
    let mut rows: Vec<&mut Value> = rows.collect();
    let mut shape = Shape::Nothing;
    for row in &rows {
        shape.take(row);
    }
    for row in &mut rows {
        shape.give(row);
    }
}

impl Shape {
    fn take(&mut self, value: &Value) {
        match (&mut *self, value) {
            (_, Value::Null) | (Self::Other, _) => {}
            (Self::Nothing, value) => {
                *self = match value {
                    Value::Number(_) => Self::Number { fractions: false },
                    Value::Array(_) => Self::List(Box::default()),
                    Value::Object(_) => Self::Fields(Vec::new()),
                    _ => Self::Other,
                };
                self.take(value);
            }
            (Self::Number { fractions }, Value::Number(number)) => *fractions |= number.is_f64(),
            (Self::List(shape), Value::Array(items)) => items.iter().for_each(|item| shape.take(item)),
            (Self::Fields(fields), Value::Object(object)) => {
                for (name, value) in object {
                    let at = fields.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                        fields.push((name.clone(), Self::Nothing));
                        fields.len() - 1
                    });
                    fields[at].1.take(value);
                }
            }
            _ => *self = Self::Other,
        }
    }

    fn give(&self, value: &mut Value) {
        match (self, &mut *value) {
            (Self::Number { fractions: true }, Value::Number(number)) => {
                if let Some(fraction) = number.as_f64().and_then(serde_json::Number::from_f64) {
                    *number = fraction;
                }
            }
            (Self::List(shape), Value::Array(items)) => items.iter_mut().for_each(|item| shape.give(item)),
            (Self::Fields(fields), Value::Object(object)) => {
                let mut whole = Map::with_capacity(fields.len());
                for (name, shape) in fields {
                    let mut value = object.remove(name).unwrap_or(Value::Null);
                    shape.give(&mut value);
                    whole.insert(name.clone(), value);
                }
                *object = whole;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_rows_get_the_fields_of_all() {
        let mut rows = [
            json!({"calls": [{"name": "a", "arguments": {"x": 1}}], "tools": null}),
            json!({"calls": [{"arguments": {"y": {"z": [1, 2.5]}}, "name": "b"}, {"name": "c"}]}),
            json!({"calls": null, "other": 1}),
        ];
        as_table(rows.iter_mut());
        let text = |value: &Value| value.to_string();
        assert_eq!(
            text(&rows[0]),
            r#"{"calls":[{"name":"a","arguments":{"x":1,"y":null}}],"tools":null,"other":null}"#
        );
        assert_eq!(
            text(&rows[1]),
            r#"{"calls":[{"name":"b","arguments":{"x":null,"y":{"z":[1.0,2.5]}}},{"name":"c","arguments":null}],"tools":null,"other":null}"#
        );
        assert_eq!(text(&rows[2]), r#"{"calls":null,"tools":null,"other":1}"#);
    }

    #[test]
    fn values_that_no_table_takes_stay() {
        let rows = [json!({"a": {"x": 1}, "b": [1, "x"]}), json!({"a": "text", "b": [{"y": 2}]})];
        let mut table = rows.clone();
        as_table(table.iter_mut());
        assert_eq!(table, rows);
    }
}
