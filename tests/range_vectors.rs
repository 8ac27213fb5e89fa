//! The range assignor against what Kafka 4.4's own `RangeAssignor` returned, order included.
//! `tests/vectors/range.jsonl` is a sample of the recorded cases; `highwater conform` runs all of them.

#![expect(clippy::unwrap_used, reason = "a malformed vector is a defect of this repository")]

use std::collections::BTreeMap;

use highwater::kafka::group::assignor::range::{Member, assign};
use serde_json::Value;

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The members of a step in the order in which Java's leader had them in its hash map.
fn members(step: &Value) -> Vec<Member<'_>> {
    let all: Vec<Member<'_>> = step["members"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|m| Member {
            id: m["id"].as_str().unwrap(),
            instance: m["instance"].as_str(),
            topics: texts(&m["topics"]),
        })
        .collect();
    let order = texts(&step["java_member_order"]);
    order.iter().map(|id| all.iter().find(|m| m.id == *id).unwrap().clone()).collect()
}

fn check_case(line: &str) {
    let case: Value = serde_json::from_str(line).unwrap();
    for step in case["steps"].as_array().unwrap() {
        let topics: BTreeMap<&str, u32> = step["topics"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, count)| (name.as_str(), count.as_u64().unwrap() as u32))
            .collect();
        let result = assign(&members(step), &topics);
        let expected = step["result"].as_object().unwrap();
        assert_eq!(result.len(), expected.len(), "{}", case["case"]);
        for (id, own) in &result {
            let own: Vec<String> = own.iter().map(|(t, p)| format!("{t}-{p}")).collect();
            assert_eq!(own, texts(&expected[*id]), "{} {id}", case["case"]);
        }
    }
}

#[test]
fn every_sampled_vector_agrees() {
    let sample = include_str!("vectors/range.jsonl");
    assert!(sample.lines().count() >= 40);
    sample.lines().for_each(check_case);
}
