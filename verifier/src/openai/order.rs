//! The order of requests: candidates of one issue one after another, the first of them alone.
//!
//! Servers keep the key-value pairs of prompts that they have read. When the first candidate of an issue has been read,
//! the others find the tokens of the system prompt and the issue there; sent all at once, each would compute them.

use std::collections::BTreeMap;

/// Rows that begin with the same text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// The row that fills the server's cache.
    pub(super) first: usize,
    /// The rows that use it, in their order.
    pub(super) rest: Vec<usize>,
}

/// Groups rows by what they begin with; groups are in the order of their first rows. A row without a beginning that
/// others could share is a group of its own.
pub(super) fn groups<'a>(beginnings: impl Iterator<Item = Option<&'a [u8]>>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut known: BTreeMap<&[u8], usize> = BTreeMap::new();
    for (row, beginning) in beginnings.enumerate() {
        if let Some(beginning) = beginning
            && let Some(&group) = known.get(beginning)
        {
            groups[group].rest.push(row);
            continue;
        }
        if let Some(beginning) = beginning {
            known.insert(beginning, groups.len());
        }
        groups.push(Group { first: row, rest: Vec::new() });
    }
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn candidates_of_one_issue_are_together() {
        let rows = [Some(&b"a"[..]), Some(b"b"), Some(b"a"), None, None, Some(b"b")];
        let wanted = vec![
            Group { first: 0, rest: vec![2] },
            Group { first: 1, rest: vec![5] },
            Group { first: 3, rest: vec![] },
            Group { first: 4, rest: vec![] },
        ];
        assert_eq!(groups(rows.into_iter()), wanted);
    }

    proptest! {
        #[test]
        fn every_row_is_asked_once(rows in prop::collection::vec(prop::option::of(0_u8..4), 0..20)) {
            let texts: Vec<Option<[u8; 1]>> = rows.iter().map(|row| row.map(|byte| [byte])).collect();
            let groups = groups(texts.iter().map(|text| text.as_ref().map(<[u8; 1]>::as_slice)));
            let mut asked: Vec<usize> =
                groups.iter().flat_map(|group| [group.first].into_iter().chain(group.rest.iter().copied())).collect();
            asked.sort_unstable();
            prop_assert_eq!(asked, (0..rows.len()).collect::<Vec<_>>());
        }
    }
}
