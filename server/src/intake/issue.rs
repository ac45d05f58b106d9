//! Requests about one issue: which it is, and ids that are unique within it.

use std::collections::BTreeSet;

use super::Intake;
use crate::Problem;

/// The issue that the candidates name, besides those of `others`: as they agree, `None` when nobody names one.
pub fn named_issue<'a>(
    intake: &'a Intake,
    others: impl Iterator<Item = &'a str>,
) -> Result<Option<String>, Problem> {
    let new = intake.candidates.iter().map(|given| given.candidate.trajectory.instance_id.as_str());
    let named: BTreeSet<&str> = new.chain(others).filter(|id| !id.is_empty()).collect();
    let mut named = named.into_iter();
    match (named.next(), named.next()) {
        (only, None) => Ok(only.map(str::to_owned)),
        (Some(one), Some(other)) => {
            let message = format!(
                "is missing, and the candidates are of several issues, such as `{one}` and `{other}`"
            );
            Err(Problem::field("instance_id", message))
        }
        (None, Some(_)) => Ok(None),
    }
}

/// Refuses what is of another issue than the request.
pub fn same_issue(field: &str, found: &str, wanted: &str) -> Result<(), Problem> {
    if found == wanted {
        return Ok(());
    }
    let message = format!("is `{found}`, the request is about `{wanted}`; send one issue at a time");
    Err(Problem::field(format!("{field}.instance_id"), message))
}

/// Takes an id, or refuses it when it is taken. Equal runs without ids of their own are different candidates (their
/// number is evidence): the second and later ones get a number.
pub fn unique_id(
    ids: &mut BTreeSet<String>,
    id: String,
    content: impl Fn() -> String,
) -> Result<String, String> {
    if ids.insert(id.clone()) {
        return Ok(id);
    }
    if id != content() {
        return Err(id);
    }
    let mut number = 2;
    while ids.contains(&format!("{id}-{number}")) {
        number += 1;
    }
    let numbered = format!("{id}-{number}");
    ids.insert(numbered.clone());
    Ok(numbered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_runs_without_ids_are_numbered_and_other_repetitions_refused() {
        let mut ids = BTreeSet::new();
        let mut take = |id: &str, content: &str| unique_id(&mut ids, id.to_owned(), || content.to_owned());
        assert_eq!(take("c1", "c1"), Ok("c1".to_owned()));
        assert_eq!(take("c1", "c1"), Ok("c1-2".to_owned()));
        assert_eq!(take("c1", "c1"), Ok("c1-3".to_owned()));
        assert_eq!(take("mine", "c1"), Ok("mine".to_owned()));
        assert_eq!(take("mine", "c2"), Err("mine".to_owned()));
    }
}
