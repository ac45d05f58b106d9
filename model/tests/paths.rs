//! However tokens reach the model, packed, behind a shared prefix, as a tree or through a cache, each sequence gives
//! what it gives when it is read alone.

mod fixture;

use std::sync::Arc;

use fixture::{Fixture, values};
use model::{LanguageModel, Layout, Node};
use proptest::prelude::*;

/// Plain and other paths agree within this part of a row's largest logit: sums are taken in another order.
const WITHIN: f32 = 1e-5;

/// Models whose rotation, window, norms or biases could go wrong in a path.
const MODELS: [&str; 6] =
    ["qwen2-tied", "qwen2-layer-types", "qwen3-bias-window", "llama3", "mistral-window", "qwen2-yarn-mscale"];

/// Logits of a sequence read alone, row by row.
fn plain(model: &LanguageModel, tokens: &[u32]) -> Vec<Vec<f32>> {
    logits(model, tokens, &Arc::new(Layout::packed(&[tokens.len()]).expect("not empty")))
}

fn logits(model: &LanguageModel, tokens: &[u32], layout: &Arc<Layout>) -> Vec<Vec<f32>> {
    let hidden = model.hidden(tokens, layout).expect("valid");
    rows(model, &values(&model.logits(hidden).expect("a language head")))
}

fn rows(model: &LanguageModel, values: &[f32]) -> Vec<Vec<f32>> {
    values.chunks(model.config().vocabulary).map(<[f32]>::to_vec).collect()
}

fn best(row: &[f32]) -> usize {
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("a vocabulary")
}

fn same(found: &[Vec<f32>], expected: &[Vec<f32>]) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), expected.len());
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        let largest = expected.iter().fold(1.0_f32, |largest, logit| largest.max(logit.abs()));
        for (found, expected) in found.iter().zip(expected) {
            prop_assert!((found - expected).abs() <= WITHIN * largest, "row {}: {} {}", row, found, expected);
        }
        prop_assert_eq!(best(found), best(expected), "row {}", row);
    }
    Ok(())
}

fn tokens(lengths: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(0_u32..97, lengths)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packed_sequences_do_not_see_one_another(
        name in prop::sample::select(&MODELS[..]),
        sequences in proptest::collection::vec(tokens(1..40), 1..5),
    ) {
        let model = Fixture::load(name).model;
        let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
        let packed = logits(&model, &sequences.concat(), &Arc::new(Layout::packed(&lengths).expect("not empty")));
        let alone: Vec<_> = sequences.iter().flat_map(|sequence| plain(&model, sequence)).collect();
        same(&packed, &alone)?;
    }

    #[test]
    fn a_tree_of_shared_prefixes_gives_what_its_branches_give(
        name in prop::sample::select(&MODELS[..]),
        prefix in tokens(1..30),
        branches in proptest::collection::vec((tokens(1..12), proptest::collection::vec(tokens(1..12), 0..3)), 1..4),
    ) {
        let model = Fixture::load(name).model;
        let mut nodes = vec![Node { parent: None, len: prefix.len() }];
        let mut all = prefix.clone();
        let mut expected = plain(&model, &prefix);
        for (branch, leaves) in branches {
            let parent = nodes.len();
            nodes.push(Node { parent: Some(0), len: branch.len() });
            let path = [prefix.clone(), branch.clone()].concat();
            expected.extend(plain(&model, &path).split_off(prefix.len()));
            all.extend(branch);
            for leaf in leaves {
                nodes.push(Node { parent: Some(parent), len: leaf.len() });
                expected.extend(plain(&model, &[path.clone(), leaf.clone()].concat()).split_off(path.len()));
                all.extend(leaf);
            }
        }
        let layout = Arc::new(Layout::forest(&nodes).expect("a forest"));
        same(&logits(&model, &all, &layout), &expected)?;
    }

    #[test]
    fn rows_asked_for_alone_are_those_of_all_rows(
        name in prop::sample::select(&MODELS[..]),
        prefix in tokens(1..30),
        sequences in proptest::collection::vec(tokens(1..40), 1..4),
        places in proptest::collection::vec(any::<prop::sample::Index>(), 1..6),
    ) {
        let model = Fixture::load(name).model;
        let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
        let layout = Arc::new(Layout::shared(prefix.len(), &lengths).expect("not empty"));
        let all = [prefix, sequences.concat()].concat();
        let places: Vec<usize> = places.iter().map(|place| place.index(all.len())).collect();
        let some = model.hidden_at(&all, &layout, &places).expect("valid");
        let some = rows(&model, &values(&model.logits(some).expect("a language head")));
        let every = logits(&model, &all, &layout);
        same(&some, &places.iter().map(|&place| every[place].clone()).collect::<Vec<_>>())?;
    }

    #[test]
    fn a_cache_continues_what_was_read_and_its_clones_are_independent(
        name in prop::sample::select(&MODELS[..]),
        sequence in tokens(2..90),
        cuts in proptest::collection::vec(1_usize..20, 1..6),
        other in tokens(1..10),
    ) {
        let model = Fixture::load(name).model;
        let step = |part: &[u32], cache: &mut model::KvCache| {
            let hidden = model.hidden_cached(part, cache).expect("valid");
            rows(&model, &values(&model.logits(hidden).expect("a language head")))
        };
        let mut cache = model.cache();
        let (mut found, mut at, mut cuts) = (Vec::new(), 0, cuts.into_iter().cycle());
        while at < sequence.len() {
            let end = (at + cuts.next().expect("a cycle")).min(sequence.len());
            // A branch that is left again changes nothing.
            let mut branch = cache.clone();
            step(&other, &mut branch);
            found.extend(step(&sequence[at..end], &mut cache));
            prop_assert_eq!((cache.len(), branch.len()), (end, at + other.len()));
            at = end;
        }
        let expected = plain(&model, &sequence);
        same(&found, &expected)?;
        // Going back and reading again gives the same once more.
        let back = sequence.len() / 2;
        cache.truncate(back);
        same(&step(&sequence[back..], &mut cache), &expected[back..])?;
    }
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let model = Fixture::load("qwen2-tied").model;
    let layout = Arc::new(Layout::packed(&[2]).expect("not empty"));
    let error =
        |tokens: &[u32], layout: &Arc<Layout>| model.hidden(tokens, layout).expect_err("refused").to_string();
    assert!(error(&[1, 97], &layout).contains("token 97 at 1"));
    assert!(error(&[1], &layout).contains("1 tokens"));
    let row = model.hidden_at(&[1, 2], &layout, &[0, 2]).expect_err("refused").to_string();
    assert!(row.contains("row 2"));
    assert!(error(&[1, 2], &Arc::new(Layout::cached(3, 2).expect("valid"))).contains("cache"));
    let other = Fixture::load("qwen2-window").model;
    assert!(model.hidden_cached(&[1], &mut other.cache()).is_err());
    let mut cache = model.cache();
    assert!(model.hidden_cached(&[97], &mut cache).is_err() && cache.is_empty());
}
