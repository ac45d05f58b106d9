//! The list of selections and its filter.

use serde::Deserialize;

use super::data::Listed;
use super::links::{Links, encode};
use super::selection_view::When;
use super::text::{clean, percent};

/// The filter as the address has it. Empty fields let everything pass.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListQuery {
    pub(super) instance_id: String,
    pub(super) policy: String,
    pub(super) outcome: String,
    pub(super) after: String,
}

/// The filter by outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutcomeFilter {
    Any,
    Resolved,
    NotResolved,
    Reported,
    NotReported,
}

const OUTCOMES: [(OutcomeFilter, &str, &str); 5] = [
    (OutcomeFilter::Any, "", "any"),
    (OutcomeFilter::Resolved, "resolved", "pick resolved it"),
    (OutcomeFilter::NotResolved, "not-resolved", "pick did not"),
    (OutcomeFilter::Reported, "reported", "some reported"),
    (OutcomeFilter::NotReported, "none", "none reported"),
];

impl ListQuery {
    /// The filter by outcome; `None` when the address names one that there is not.
    pub(super) fn outcome(&self) -> Option<OutcomeFilter> {
        OUTCOMES.iter().find(|o| o.1 == self.outcome).map(|o| o.0)
    }

    fn active(&self) -> bool {
        !(self.instance_id.is_empty()
            && self.policy.is_empty()
            && self.outcome.is_empty()
            && self.after.is_empty())
    }

    /// The same filter, further down the list.
    fn older(&self, cursor: &str) -> String {
        let mut url = String::from("/?");
        for (name, value) in
            [("instance_id", &self.instance_id), ("policy", &self.policy), ("outcome", &self.outcome)]
        {
            if !value.is_empty() {
                url.extend([name, "=", &encode(value), "&"]);
            }
        }
        url + "after=" + &encode(cursor)
    }
}

/// The form's state.
#[derive(Debug)]
pub(super) struct FilterView {
    pub(super) instance_id: String,
    pub(super) active: bool,
}

/// A choice of the form.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) name: String,
    pub(super) label: &'static str,
    pub(super) selected: bool,
}

/// Rows of the list and the way on.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) items: Vec<RowView>,
    pub(super) older: Option<String>,
}

/// One selection.
#[derive(Debug)]
pub(super) struct RowView {
    pub(super) url: String,
    pub(super) instance_id: String,
    pub(super) pick: Option<String>,
    pub(super) no_pick: &'static str,
    pub(super) confidence: String,
    pub(super) candidates: usize,
    pub(super) policy: String,
    pub(super) resolved: Option<bool>,
    pub(super) when: When,
}

/// The form's state.
pub(super) fn filter(query: &ListQuery) -> FilterView {
    FilterView { instance_id: clean(&query.instance_id).into_owned(), active: query.active() }
}

/// The policies to choose from.
pub(super) fn policies<'a>(query: &ListQuery, names: impl Iterator<Item = &'a str>) -> Vec<Choice> {
    names.map(|n| Choice { name: n.to_owned(), label: "", selected: n == query.policy }).collect()
}

/// The outcomes to choose from.
pub(super) fn outcomes(query: &ListQuery) -> Vec<Choice> {
    let choice = |o: &(OutcomeFilter, &str, &'static str)| Choice {
        name: o.1.to_owned(),
        label: o.2,
        selected: o.1 == query.outcome,
    };
    OUTCOMES.iter().map(choice).collect()
}

/// The rows.
pub(super) fn rows(query: &ListQuery, listed: Vec<Listed>, next: Option<&str>) -> Rows {
    let row = |l: Listed| RowView {
        url: Links::new(&l.id).selection(),
        instance_id: clean(&l.instance_id).into_owned(),
        pick: l.chosen.as_deref().map(|c| clean(c).into_owned()),
        no_pick: if l.abstained { "abstained" } else { "none" },
        confidence: percent(l.confidence),
        candidates: l.candidates,
        policy: l.policy,
        resolved: l.resolved,
        when: When::new(&l.created),
    };
    Rows { items: listed.into_iter().map(row).collect(), older: next.map(|c| query.older(c)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_keeps_the_filter() {
        let query = ListQuery {
            instance_id: "a&b".to_owned(),
            outcome: "resolved".to_owned(),
            ..ListQuery::default()
        };
        assert_eq!(query.older("c/1"), "/?instance_id=a%26b&outcome=resolved&after=c%2F1");
        assert_eq!(query.outcome(), Some(OutcomeFilter::Resolved));
        assert_eq!(ListQuery { outcome: "x".to_owned(), ..ListQuery::default() }.outcome(), None);
    }
}
