//! The columns by name.
//!
//! - `m_X`: mean likeness to the other candidates, `x_X` the highest, `q_X` over the nearest quarter, for X of `chg`
//!   (token runs, added and removed), `atri` (added), `ident` (identifiers), `line` and `rline` (changed, removed
//!   lines), `near` (changed places and three lines around), `loc` (changed places), `files`, `leq` and `eq` (equal
//!   change without and with white space), `nline`, `ntoken`, `nexact` (lines, tokens and the whole of the
//!   normalised change). With a final `P`, shared over what the candidate has (`mr_XP`: over what
//!   the others have) instead of over the union.
//! - `nv_tri`: how typical the added token runs are of the pool; `d_chg`: mean likeness to each *different* change; `lsize`: log of how many have the same change; `modal`: is
//!   in the largest group of equal changes; `sc_loc`: how the changed places point where the pool's do.
//! - `l_X`: log(1 + count) of what the sketch counts; `f_X`: count by added line; `ra_X`: distance of `l_X` to the
//!   pool's median.
//! - ratios and signs of unfinished work: `comratio`, `remratio`, `novratio`, `unkratio`, `alienratio`, `nosrc`,
//!   `hastest`, `hasdoc`, `hasscr`, `onlyadd`.
//! - signs that a patch does not apply: `l_broken` (hunks that contradict their headers), `off_base` (share of the
//!   lines shown of the unpatched code that most of the others who show them contradict).
//! - `t_X`: facts of the trajectory; `e_X`: test evidence; `v_logit`: the verifier's log-odds, shrunk by
//!   their standard error.

use std::cell::OnceCell;

use rustc_hash::FxHashMap;

use super::pairs::{Pairs, Table};
use crate::{
    policies::Context,
    ranker::{Sketch, sketch::Counts},
};

/// Computes columns over some candidates of a pool.
#[derive(Debug)]
pub(crate) struct Columns<'a> {
    context: &'a Context<'a>,
    /// Positions of the candidates.
    of: &'a [usize],
    sketches: Vec<&'a Sketch>,
    pairs: Pairs,
    grams: OnceCell<Table>,
    lines: OnceCell<Table>,
    near: OnceCell<Table>,
    files: OnceCell<Table>,
    loose: OnceCell<Table>,
}

/// Likenesses.
const TABLES: [&str; 16] = [
    "nline", "ntoken", "nexact", "chg", "atri", "ident", "line", "rline", "near", "loc", "files", "leq",
    "eq", "atriP", "nearP", "filesP",
];
const SINGLE: [&str; 19] = [
    "nv_tri",
    "d_chg",
    "lsize",
    "modal",
    "sc_loc",
    "comratio",
    "remratio",
    "novratio",
    "unkratio",
    "alienratio",
    "nosrc",
    "hastest",
    "hasdoc",
    "hasscr",
    "onlyadd",
    "sh_test",
    "sh_scr",
    "h_dens",
    "off_base",
];

/// Whether a column has this name.
pub(super) fn is_known(name: &str) -> bool {
    if SINGLE.contains(&name) || super::super::evidence::is_known(name) {
        return true;
    }
    match name.split_once('_') {
        Some(("m" | "x" | "q", table)) => TABLES.contains(&table),
        Some(("mr", table)) => TABLES.contains(&table) && table.ends_with('P'),
        Some(("l" | "f" | "ra", count)) => Counts::default().get(count).is_some(),
        _ => false,
    }
}

impl<'a> Columns<'a> {
    /// Columns over the candidates at these positions.
    pub(crate) fn new(context: &'a Context<'a>, of: &'a [usize]) -> Self {
        let sketches: Vec<&Sketch> = of.iter().map(|&at| &context.pool.candidates[at].sketch).collect();
        let pairs = Pairs::of(&sketches);
        Self {
            context,
            of,
            sketches,
            pairs,
            grams: OnceCell::new(),
            lines: OnceCell::new(),
            near: OnceCell::new(),
            files: OnceCell::new(),
            loose: OnceCell::new(),
        }
    }

    /// How many candidates there are.
    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }

    /// A column by name; NaN where it is not known. All NaN for a name that no column has.
    pub(crate) fn column(&self, name: &str) -> Vec<f64> {
        if let Some(column) = super::super::evidence::column(self.context, self.of, name) {
            return column;
        }
        match name.split_once('_') {
            Some((view @ ("m" | "x" | "q" | "mr"), table)) if TABLES.contains(&table) => {
                self.with_table(table, |table| match view {
                    "m" => table.row_means(),
                    "x" => table.row_highest(),
                    "q" => table.row_nearest_quarter(),
                    _ => table.column_means(),
                })
            }
            Some(("l", count)) => self.counts(|counts| counts.get(count).map_or(f64::NAN, f64::ln_1p)),
            Some(("f", count)) => {
                self.counts(|counts| counts.get(count).map_or(f64::NAN, |value| value / (counts.added + 1.0)))
            }
            Some(("ra", count)) => {
                let column = self.counts(|counts| counts.get(count).map_or(f64::NAN, f64::ln_1p));
                let middle = median(&column);
                column.into_iter().map(|value| (value - middle).abs()).collect()
            }
            _ => self.single(name),
        }
    }

    fn single(&self, name: &str) -> Vec<f64> {
        let flag = |holds: bool| f64::from(u8::from(holds));
        match name {
            "nv_tri" => self.typical(),
            "d_chg" => self.distinct(),
            "lsize" => self.group_sizes().into_iter().map(f64::ln).collect(),
            "modal" => {
                let sizes = self.group_sizes();
                let most = sizes.iter().copied().fold(0.0, f64::max);
                sizes.into_iter().map(|size| flag(most > 1.0 && size >= most)).collect()
            }
            "sc_loc" => self.pointing(),
            "comratio" => self.counts(|c| c.com_add / (c.com_add + c.added + 1.0)),
            "remratio" => self.counts(|c| c.removed / (c.removed + c.added + 1.0)),
            "novratio" => self.counts(|c| c.nnovel / (c.nid + 1.0)),
            "unkratio" => self.unheard(),
            "alienratio" => self.alien(),
            "nosrc" => self.counts(|c| flag(c.nsrc == 0.0)),
            "hastest" => self.counts(|c| flag(c.ntest > 0.0)),
            "hasdoc" => self.counts(|c| flag(c.ndoc > 0.0)),
            "hasscr" => self.counts(|c| flag(c.nscr > 0.0)),
            "onlyadd" => self.counts(|c| flag(c.removed == 0.0)),
            "sh_test" => self.counts(|c| c.addtest / (c.addsrc + c.addtest + c.adddoc + c.addscr + 1.0)),
            "sh_scr" => self.counts(|c| c.addscr / (c.addsrc + c.addtest + c.adddoc + c.addscr + 1.0)),
            "off_base" => self.off_base(),
            "h_dens" => self.counts(|c| c.added / (c.hunks + 1.0)),
            _ => vec![f64::NAN; self.len()],
        }
    }

    /// A property of the pool as a whole.
    pub(crate) fn pool(&self, name: &str) -> f64 {
        match name {
            "size" => (self.len() as f64).ln(),
            "agreement" => mean(&self.column("m_chg")),
            "agreement_best" => self.column("m_chg").into_iter().fold(0.0, f64::max),
            "agreement_places" => mean(&self.column("m_near")),
            "agreement_files" => mean(&self.column("m_files")),
            "agreement_equal" => mean(&self.column("m_leq")),
            "different" => {
                let groups: f64 = self.group_sizes().iter().map(|size| 1.0 / size).sum();
                groups / self.len().max(1) as f64
            }
            "largest_group" => self.group_sizes().into_iter().fold(0.0, f64::max) / self.len().max(1) as f64,
            "median_size" => median(&self.column("l_A")),
            "with_tests" => mean(&self.column("hastest")),
            "scratch" => mean(&self.column("hasscr")),
            "novel" => mean(&self.column("novratio")),
            "scored" => {
                self.column("v_logit").iter().filter(|value| value.is_finite()).count() as f64
                    / self.len().max(1) as f64
            }
            "empty" => 1.0 - self.len() as f64 / self.context.len().max(1) as f64,
            _ => f64::NAN,
        }
    }

    fn counts(&self, value: impl Fn(&Counts) -> f64) -> Vec<f64> {
        self.sketches.iter().map(|sketch| value(&sketch.counts)).collect()
    }

    fn with_table<R>(&self, name: &str, use_it: impl Fn(&Table) -> R) -> R {
        let pairs = &self.pairs;
        let keys =
            |key: fn(&Sketch) -> u64| self.sketches.iter().map(|sketch| key(sketch)).collect::<Vec<_>>();
        match name {
            "chg" => use_it(self.grams.get_or_init(|| Table::jaccard(&pairs.grams))),
            "line" => use_it(self.lines.get_or_init(|| Table::jaccard(&pairs.lines))),
            "near" => use_it(self.near.get_or_init(|| Table::jaccard(&pairs.near))),
            "files" => use_it(self.files.get_or_init(|| Table::jaccard(&pairs.files))),
            "leq" => use_it(self.loose.get_or_init(|| Table::equal(&keys(|sketch| sketch.loose_key)))),
            "eq" => use_it(&Table::equal(&keys(|sketch| sketch.key))),
            "nline" => use_it(&self.normalised(|likeness| likeness.lines)),
            "ntoken" => use_it(&self.normalised(|likeness| likeness.tokens)),
            "nexact" => {
                let exact = &self.context.agreement.exact;
                use_it(&Table::equal(&self.of.iter().map(|&at| exact[at] as u64).collect::<Vec<_>>()))
            }
            "atri" => use_it(&Table::jaccard(&pairs.added_grams)),
            "atriP" => use_it(&Table::part(&pairs.added_grams)),
            "ident" => use_it(&Table::jaccard(&pairs.identifiers)),
            "rline" => use_it(&Table::jaccard(&pairs.removed_lines)),
            "loc" => use_it(&Table::jaccard(&pairs.places)),
            "nearP" => use_it(&Table::part(&pairs.near)),
            _ => use_it(&Table::part(&pairs.files)),
        }
    }

    /// Likeness of the normalised changes.
    fn normalised(&self, part: fn(patch::Similarity) -> f64) -> Table {
        let stats = &self.context.agreement.stats;
        Table::new(self.len(), |a, b| part(stats.similarity(self.of[a], self.of[b])))
    }

    /// How many candidates, itself included, make the same change up to white space.
    fn group_sizes(&self) -> Vec<f64> {
        let mut sizes: FxHashMap<u64, f64> = FxHashMap::default();
        for sketch in &self.sketches {
            *sizes.entry(sketch.loose_key).or_default() += 1.0;
        }
        self.sketches.iter().map(|sketch| sizes[&sketch.loose_key]).collect()
    }

    /// The mean likeness to the changes that others make differently, each counted once.
    fn distinct(&self) -> Vec<f64> {
        let key = |at: usize| self.sketches[at].loose_key;
        let leaders: Vec<usize> =
            (0..self.len()).filter(|&at| (0..at).all(|other| key(other) != key(at))).collect();
        self.with_table("chg", |table| {
            (0..self.len())
                .map(|at| {
                    let others: Vec<usize> =
                        leaders.iter().copied().filter(|&leader| key(leader) != key(at)).collect();
                    others.iter().map(|&other| table.row(at)[other]).sum::<f64>() / others.len().max(1) as f64
                })
                .collect()
        })
    }

    /// The cosine of a candidate's changed places with the others', weighed by how many change them.
    fn pointing(&self) -> Vec<f64> {
        let places = &self.pairs.places;
        let shared = |at: usize| (0..self.len()).map(|other| places.shared(at, other) as f64).sum::<f64>();
        let all: f64 = (0..self.len()).map(shared).sum();
        (0..self.len())
            .map(|at| {
                let own = places.size(at) as f64;
                (shared(at) - own) / own.max(1.0).sqrt() / (all.sqrt() + 1e-9)
            })
            .collect()
    }

    /// The mean log-likelihood of the added token runs, had and not had, under the others' shares of each.
    fn typical(&self) -> Vec<f64> {
        let mut counts: FxHashMap<u64, u32> = FxHashMap::default();
        for hash in self.sketches.iter().flat_map(|sketch| &sketch.added_grams) {
            *counts.entry(*hash).or_default() += 1;
        }
        let size = self.len() as f64;
        if self.len() < 2 || counts.is_empty() {
            return vec![0.0; self.len()];
        }
        let miss = |count: u32| (1.0 - (f64::from(count) + 0.5) / (size + 0.5)).max(1e-3).ln();
        let hit = |count: u32| ((f64::from(count) - 0.5) / size).ln();
        let levels: Vec<(f64, f64)> =
            (0..=self.len() as u32).map(|count| (hit(count), miss(count))).collect();
        // Summed by level, so that the sum does not depend on the order of a map.
        let mut at_level = vec![0.0; levels.len()];
        for count in counts.values() {
            at_level[*count as usize] += 1.0;
        }
        let base: f64 = (1..levels.len()).map(|level| at_level[level] * levels[level].1).sum();
        let middle = median(&self.sketches.iter().map(|s| s.added_grams.len() as f64).collect::<Vec<_>>());
        self.sketches
            .iter()
            .map(|sketch| {
                let had: f64 = sketch
                    .added_grams
                    .iter()
                    .map(|hash| {
                        let (hit, miss) = levels[counts[hash] as usize];
                        hit - miss
                    })
                    .sum();
                (base + had) / (sketch.added_grams.len() as f64 + middle + 1.0)
            })
            .collect()
    }

    /// The share of the unpatched code's lines that a patch shows otherwise than most, where three or more show them.
    fn off_base(&self) -> Vec<f64> {
        let mut shown: FxHashMap<u64, FxHashMap<u64, u32>> = FxHashMap::default();
        for (place, text) in self.sketches.iter().flat_map(|sketch| &sketch.base) {
            *shown.entry(*place).or_default().entry(*text).or_default() += 1;
        }
        let share = |sketch: &&Sketch| {
            let (mut off, mut all) = (0.0, 0.0);
            for (place, text) in &sketch.base {
                let texts = &shown[place];
                if texts.values().sum::<u32>() >= 3 {
                    all += 1.0;
                    let most = texts.values().copied().max().unwrap_or(0);
                    off += f64::from(u8::from(texts[text] < most));
                }
            }
            off / f64::max(all, 3.0)
        };
        self.sketches.iter().map(share).collect()
    }

    /// Identifiers that no other candidate shows in any way, by identifiers.
    fn unheard(&self) -> Vec<f64> {
        let mut known: FxHashMap<u64, u32> = FxHashMap::default();
        for sketch in &self.sketches {
            for hash in &sketch.vocabulary {
                *known.entry(*hash).or_default() += 1;
            }
            for hash in &sketch.identifiers {
                if sketch.vocabulary.binary_search(hash).is_err() {
                    *known.entry(*hash).or_default() += 1;
                }
            }
        }
        let is_unheard = |sketch: &Sketch, hash: &u64| {
            known.get(hash).is_some_and(|count| *count <= 1) && sketch.vocabulary.binary_search(hash).is_err()
        };
        self.by_identifier(is_unheard)
    }

    /// Identifiers that no patch of the pool has in its context or removed lines, by identifiers.
    fn alien(&self) -> Vec<f64> {
        let known: rustc_hash::FxHashSet<u64> =
            self.sketches.iter().flat_map(|sketch| sketch.vocabulary.iter().copied()).collect();
        self.by_identifier(|_, hash| !known.contains(hash))
    }

    fn by_identifier(&self, counts: impl Fn(&Sketch, &u64) -> bool) -> Vec<f64> {
        self.sketches
            .iter()
            .map(|sketch| {
                let count = sketch.identifiers.iter().filter(|hash| counts(sketch, hash)).count();
                count as f64 / (sketch.counts.nid + 1.0)
            })
            .collect()
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}
