//! What must hold of every sequence of arrivals.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;

use super::{
    batcher::{Batcher, Bounds, EntryId, Lane, Refused, Work},
    cost::{Cost, Fill, Row},
};

const NEVER: Duration = Duration::from_secs(1 << 40);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn work(tokens: u64) -> Work {
    Work { row: Row { tokens, shared: 0, group: None }, lane: Lane::Interactive, deadline: NEVER }
}

fn bounds(cost: Cost) -> Bounds {
    Bounds { batch: 1_000, rows: 8, queue: 10_000, ageing: seconds(30), cost }
}

const PACKED: Cost = Cost::Packed { attention: 0 };

#[test]
fn a_request_is_admitted_whole_or_not_at_all() {
    let mut batcher = Batcher::new(bounds(PACKED));
    assert_eq!(batcher.admit(&[work(9_000), work(900)], seconds(0)).unwrap(), [0, 1]);
    assert_eq!(batcher.admit(&[work(50), work(51)], seconds(0)), Err(Refused::Full { excess: 1 }));
    assert_eq!((batcher.len(), batcher.tokens()), (2, 9_900));
    let too_large = Refused::TooLarge { tokens: 10_001, limit: 10_000 };
    assert_eq!(batcher.admit(&[work(10_001)], seconds(0)), Err(too_large));
    assert!(batcher.cancel(0) && !batcher.cancel(0));
    assert_eq!(batcher.admit(&[work(50), work(51)], seconds(0)).unwrap(), [2, 3]);
}

#[test]
fn candidates_of_one_issue_go_together() {
    let mut batcher = Batcher::new(bounds(PACKED));
    let of = |group, tokens| Work { row: Row { tokens, shared: 300, group: Some(group) }, ..work(0) };
    let works = [of(1, 400), of(2, 400), of(1, 410), of(2, 420), of(1, 390)];
    batcher.admit(&works, seconds(0)).unwrap();
    let batch = batcher.next_batch(seconds(0), false).unwrap();
    assert_eq!(batch.rows, [0, 2, 4, 1], "group 1 first, then what fits of group 2");
    assert_eq!(batch.cost, 400 + 110 + 90 + 400);
    assert_eq!(batcher.next_batch(seconds(0), false).unwrap().rows, [3]);
    assert_eq!(batcher.next_batch(seconds(0), false), None);
}

#[test]
fn interactive_work_goes_first_and_the_rest_ages() {
    let mut batcher = Batcher::new(Bounds { rows: 1, ..bounds(PACKED) });
    let slow = Work { lane: Lane::Batch, ..work(10) };
    batcher.admit(&[slow, slow], seconds(0)).unwrap();
    batcher.admit(&[work(10), work(10)], seconds(1)).unwrap();
    assert_eq!(batcher.next_batch(seconds(2), false).unwrap().rows, [2]);
    assert_eq!(batcher.next_batch(seconds(30), false).unwrap().rows, [0], "it has waited long enough");
    batcher.join(1, Lane::Interactive, NEVER);
    assert_eq!(batcher.next_batch(seconds(3), false).unwrap().rows, [1], "somebody waits for it now");
}

#[test]
fn a_prefetched_batch_must_be_full() {
    let mut batcher = Batcher::new(bounds(PACKED));
    batcher.admit(&[work(600)], seconds(0)).unwrap();
    assert_eq!(batcher.next_batch(seconds(0), true), None);
    batcher.admit(&[work(600)], seconds(0)).unwrap();
    assert_eq!(batcher.next_batch(seconds(0), true).unwrap().rows, [0]);
    batcher.admit(&[work(5_000)], seconds(0)).unwrap();
    assert_eq!(batcher.next_batch(seconds(0), true).unwrap().rows, [1]);
    assert_eq!(batcher.next_batch(seconds(0), true).unwrap().rows, [2], "too long for a batch: alone");
}

#[test]
fn what_is_late_leaves_at_its_deadline() {
    let mut batcher = Batcher::new(bounds(PACKED));
    batcher.admit(&[Work { deadline: seconds(5), ..work(1) }, work(1)], seconds(0)).unwrap();
    assert!(batcher.expire(seconds(4)).is_empty());
    assert_eq!(batcher.expire(seconds(5)), [0]);
    assert_eq!((batcher.len(), batcher.tokens()), (1, 1));
}

/// Long-tailed lengths, as those of trajectories: a log-normal by a fixed generator.
fn lengths(count: usize) -> Vec<u64> {
    let mut state = 7_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    };
    let normal = |one: f64, two: f64| (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos();
    let lengths = (0..count).map(|_| (8.0 + 0.9 * normal(uniform(), uniform())).exp());
    lengths.map(|length| (length as u64).clamp(64, 32_768)).collect()
}

#[test]
fn filling_by_length_wastes_little_where_rows_are_padded() {
    let lengths = lengths(2_000);
    let bounds = Bounds { batch: 65_536, rows: 64, queue: u64::MAX, ageing: NEVER, cost: Cost::Padded };
    let mut batcher = Batcher::new(bounds);
    batcher.admit(&lengths.iter().map(|tokens| work(*tokens)).collect::<Vec<_>>(), seconds(0)).unwrap();
    let (mut tokens, mut cost) = (0, 0);
    while let Some(batch) = batcher.next_batch(seconds(0), false) {
        tokens += batch.tokens;
        cost += batch.cost;
    }
    let by_length = tokens as f64 / cost as f64;

    let (mut fifo_cost, mut fill) = (0, Fill::new(Cost::Padded));
    for tokens in &lengths {
        let row = Row { tokens: *tokens, shared: 0, group: None };
        if fill.rows() > 0 && fill.with(row) > bounds.batch {
            fifo_cost += std::mem::replace(&mut fill, Fill::new(Cost::Padded)).total();
        }
        fill.add(row);
    }
    let fifo = tokens as f64 / (fifo_cost + fill.total()) as f64;
    assert!(fifo < 0.7 && by_length > 0.9, "FIFO {fifo:.2}, by length {by_length:.2}");
}

#[derive(Debug, Clone)]
enum Event {
    Arrive(Vec<Work>),
    Cancel(prop::sample::Index),
    Join(prop::sample::Index, Lane),
    Batch { only_full: bool },
    Wait(u64),
}

fn lanes() -> impl Strategy<Value = Lane> {
    prop_oneof![Just(Lane::Interactive), Just(Lane::Batch)]
}

fn works() -> impl Strategy<Value = Work> {
    let group = prop::option::of(0..4_u64);
    (1..1_500_u64, 0..900_u64, group, lanes(), 0..200_u64).prop_map(|(tokens, shared, group, lane, late)| {
        let deadline = if late < 40 { seconds(late) } else { NEVER };
        Work { row: Row { tokens, shared: shared.min(tokens), group }, lane, deadline }
    })
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => prop::collection::vec(works(), 1..6).prop_map(Event::Arrive),
        1 => any::<prop::sample::Index>().prop_map(Event::Cancel),
        1 => (any::<prop::sample::Index>(), lanes()).prop_map(|(index, lane)| Event::Join(index, lane)),
        4 => any::<bool>().prop_map(|only_full| Event::Batch { only_full }),
        2 => (0..20_u64).prop_map(Event::Wait),
    ];
    prop::collection::vec(event, 1..60)
}

fn costs() -> impl Strategy<Value = Cost> {
    prop_oneof![Just(Cost::Padded), Just(PACKED), Just(Cost::Packed { attention: 2_000 })]
}

proptest! {
    #[test]
    fn every_entry_leaves_once_within_the_budget(events in events(), cost in costs()) {
        let bounds = Bounds { queue: 12_000, ..bounds(cost) };
        let mut batcher = Batcher::new(bounds);
        let (mut waiting, mut left) = (BTreeSet::<EntryId>::new(), BTreeSet::new());
        let mut all = Vec::<Work>::new();
        let mut now = seconds(0);
        let drain = (0..250).map(|_| Event::Batch { only_full: false });
        for event in events.into_iter().chain(drain) {
            match event {
                Event::Arrive(works) => {
                    let before = (batcher.len(), batcher.tokens());
                    if let Ok(ids) = batcher.admit(&works, now) {
                        let next = all.len() as u64;
                        prop_assert_eq!(&ids, &(next..next + works.len() as u64).collect::<Vec<_>>());
                        waiting.extend(ids);
                        all.extend(works);
                    } else {
                        prop_assert_eq!(before, (batcher.len(), batcher.tokens()));
                    }
                    prop_assert!(batcher.tokens() <= bounds.queue);
                }
                Event::Cancel(index) if !waiting.is_empty() => {
                    let id = *index.get(&waiting.iter().copied().collect::<Vec<_>>());
                    prop_assert!(batcher.cancel(id));
                    waiting.remove(&id);
                    left.insert(id);
                }
                Event::Join(index, lane) if !waiting.is_empty() => {
                    batcher.join(*index.get(&waiting.iter().copied().collect::<Vec<_>>()), lane, seconds(0));
                }
                Event::Cancel(_) | Event::Join(..) => {}
                Event::Batch { only_full } => {
                    for id in batcher.expire(now) {
                        prop_assert!(all[id as usize].deadline <= now);
                        prop_assert!(waiting.remove(&id) && left.insert(id));
                    }
                    let Some(batch) = batcher.next_batch(now, only_full) else {
                        prop_assert!(only_full || waiting.is_empty());
                        continue;
                    };
                    prop_assert!(!batch.rows.is_empty() && batch.rows.len() as u64 <= bounds.rows);
                    let mut fill = Fill::new(cost);
                    for id in &batch.rows {
                        prop_assert!(waiting.remove(id) && left.insert(*id), "{} left twice", id);
                        fill.add(all[*id as usize].row);
                    }
                    prop_assert!(fill.total() <= bounds.batch || batch.rows.len() == 1);
                    let tokens: u64 = batch.rows.iter().map(|id| all[*id as usize].row.tokens).sum();
                    prop_assert_eq!(batch.tokens, tokens);
                }
                Event::Wait(time) => now += seconds(time),
            }
            let tokens: u64 = waiting.iter().map(|id| all[*id as usize].row.tokens).sum();
            prop_assert_eq!((batcher.len(), batcher.tokens()), (waiting.len(), tokens));
        }
        prop_assert!(waiting.is_empty());
        prop_assert_eq!(left.len(), all.len());
    }

    #[test]
    fn nothing_starves(mut victim in works(), crowd in prop::collection::vec(works(), 40), cost in costs()) {
        let bounds = Bounds { rows: 4, queue: u64::MAX, ..bounds(cost) };
        let mut batcher = Batcher::new(bounds);
        victim.deadline = NEVER;
        victim.lane = Lane::Batch;
        let crowd: Vec<Work> =
            crowd.into_iter().map(|work| Work { lane: Lane::Interactive, deadline: NEVER, ..work }).collect();
        batcher.admit(&crowd[..10], seconds(0)).unwrap();
        let id = batcher.admit(&[victim], seconds(0)).unwrap()[0];
        // Interactive work keeps coming, faster than it leaves. Once the victim has aged, every batch takes the
        // oldest entry, and only ten are older.
        let mut batches = 0;
        let mut now = seconds(0);
        loop {
            batches += 1;
            let batch = batcher.next_batch(now, false).unwrap();
            if batch.rows.contains(&id) {
                break;
            }
            prop_assert!(batches <= 30 + 11, "still waiting after {} batches", batches);
            batcher.admit(&crowd[10..], now).unwrap();
            now += seconds(1);
        }
    }
}
