//! The rows of logs in the facts of a case: `[offset, id, leader epoch]`, or as recordings have them, with producer,
//! producer epoch, sequence and whether it is a control record.

use serde_json::{Value, json};

use crate::base::names::Names;
use crate::view::cluster::replica::{DiskRecord, Says};

/// A row with everything, the producer by its id.
pub(super) fn log_row(names: &Names, record: &DiskRecord) -> Value {
    let (name, control) = match record.says {
        Says::Message(id) => (names.message(id), false),
        Says::Marker(true) => ("COMMIT".to_owned(), true),
        Says::Marker(false) => ("ABORT".to_owned(), true),
    };
    let DiskRecord { offset, epoch, producer_id, producer_epoch, sequence, .. } = record;
    json!([offset.0, name, epoch.0, producer_id, producer_epoch, sequence, control])
}

/// A row of a log with everything recordings say of a record.
const WHOLE_ROW: usize = 7;
/// Offset, id, leader epoch.
const SHORT_ROW: usize = 3;
/// Where a whole row has its producer.
const PRODUCER: usize = 3;

/// Rows of logs: where the case says only the first three columns, only they are compared. Producers are named in the
/// order in which they come, on either side: P1, P2, …
pub(super) fn comparable_rows(expected: &mut Value, got: &mut Value) {
    shorten(expected, got);
    for value in [expected, got] {
        let mut producers: Vec<Value> = Vec::new();
        name_producers(value, &mut producers);
    }
}

fn shorten(expected: &Value, got: &mut Value) {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            for (key, expected) in expected {
                if let Some(got) = got.get_mut(key) {
                    shorten(expected, got);
                }
            }
        }
        (Value::Array(expected), Value::Array(got)) => {
            let short = |row: &Value| row.as_array().is_some_and(|row| row.len() == SHORT_ROW);
            if !expected.is_empty() && expected.iter().all(short) {
                for row in got.iter_mut().filter_map(Value::as_array_mut) {
                    if row.len() == WHOLE_ROW {
                        row.truncate(SHORT_ROW);
                    }
                }
            }
        }
        _ => {}
    }
}

fn name_producers(value: &mut Value, producers: &mut Vec<Value>) {
    match value {
        Value::Object(map) => map.values_mut().for_each(|v| name_producers(v, producers)),
        Value::Array(row) if row.len() == WHOLE_ROW && row[WHOLE_ROW - 1].is_boolean() => {
            let known = producers.iter().position(|producer| *producer == row[PRODUCER]);
            let place = known.unwrap_or_else(|| {
                producers.push(row[PRODUCER].clone());
                producers.len() - 1
            });
            row[PRODUCER] = json!(format!("P{}", place + 1));
        }
        Value::Array(rows) => rows.iter_mut().for_each(|v| name_producers(v, producers)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_compared_as_far_as_the_case_has_them_and_producers_by_their_order() {
        let whole = json!({"b1": [
            [0, "m0", 0, 17, 0, 0, false], [1, "m1", 0, 4, 0, 0, false], [2, "COMMIT", 0, 17, 1, -1, true],
        ]});
        let mut short = json!({"b1": [[0, "m0", 0], [1, "m1", 0], [2, "COMMIT", 0]]});
        let mut got = whole.clone();
        comparable_rows(&mut short, &mut got);
        assert_eq!(short, got);
        let mut recorded = json!({"b1": [
            [0, "m0", 0, "P2", 0, 0, false], [1, "m1", 0, "P1", 0, 0, false],
            [2, "COMMIT", 0, "P2", 1, -1, true],
        ]});
        let mut got = whole.clone();
        comparable_rows(&mut recorded, &mut got);
        assert_eq!(recorded, got);
        let mut swapped = json!({"b1": [
            [0, "m0", 0, "P1", 0, 0, false], [1, "m1", 0, "P1", 0, 0, false],
            [2, "COMMIT", 0, "P1", 1, -1, true],
        ]});
        let mut got = whole;
        comparable_rows(&mut swapped, &mut got);
        assert_ne!(swapped, got, "one producer is not two");
    }
}
