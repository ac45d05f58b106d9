//! Golden values of the method's description (§ 1.13), gradients against finite differences, and limits.

use proptest::prelude::*;

use super::*;

fn close(left: f64, right: f64, tolerance: f64) {
    assert!((left - right).abs() <= tolerance * right.abs().max(1.0), "{left} is not {right}");
}

fn pair(values: [f64; 4]) -> (Sequence, Sequence) {
    let of = |policy, reference| Sequence { policy, reference, tokens: 50 };
    (of(values[0], values[2]), of(values[1], values[3]))
}

fn entropy(alpha: f64) -> Entropy {
    Entropy { alpha, beta: 0.1, cap: None }
}

/// π_w, π_l, ref_w, ref_l → logit, loss, derivative by π_w; α = 0.11, β = 0.1.
const GOLDEN_DPO: [([f64; 4], [f64; 3]); 5] = [
    ([-10.0, -12.0, -11.0, -11.5], [0.17, 0.611_755_339, -0.050_336_226_5]),
    ([-100.0, -100.0, -100.0, -100.0], [0.0, std::f64::consts::LN_2, -0.055]),
    ([-900.0, -1200.0, -900.0, -1200.0], [3.0, 0.048_587_351_6, -0.005_216_846_05]),
    ([-1200.0, -900.0, -1200.0, -900.0], [-3.0, 3.048_587_35, -0.104_783_154]),
    ([-901.0, -1203.0, -900.0, -1200.0], [3.22, 0.039_177_499, -0.004_226_198_41]),
];

#[test]
fn entropo_dpo_has_its_golden_values() {
    for (values, [logit, loss, slope]) in GOLDEN_DPO {
        let (chosen, rejected) = pair(values);
        let term = PairObjective::EntropoDpo(entropy(0.11)).evaluate(&chosen, &rejected);
        close(term.logit, logit, 1e-9);
        close(term.loss, loss, 1e-8);
        close(term.chosen, slope, 1e-9);
        close(term.rejected, -slope, 1e-9);
        close(term.margin(), logit, 1e-9);
    }
    let (chosen, rejected) = pair(GOLDEN_DPO[0].0);
    let plain = PairObjective::Dpo { beta: 0.1 }.evaluate(&chosen, &rejected);
    close(plain.logit, 0.15, 1e-9);
    close(plain.loss, 0.620_957_048, 1e-8);
    close(plain.chosen, -0.046_257_015_5, 1e-9);
}

fn kto(alpha: f64, form: KtoForm, reference_point: ReferencePoint) -> Kto {
    Kto { entropy: entropy(alpha), form, reference_point, desirable_weight: 1.0, undesirable_weight: 1.0 }
}

fn kto_loss(kto: Kto, own: (f64, f64), other: (f64, f64), desirable: bool) -> (f64, f64, KtoTerm) {
    let of = |(policy, reference)| Sequence { policy, reference, tokens: 50 };
    let batch = kto.evaluate(&[KtoSample { sequence: of(own), desirable }], &[of(other)]);
    (batch.reference_point, batch.loss, batch.terms[0])
}

#[test]
fn released_kto_has_its_golden_values() {
    let released = kto(0.11, KtoForm::Released, ReferencePoint::default());
    let (point, loss, _) = kto_loss(released, (-100.0, -104.0), (-120.0, -119.0), true);
    close(point, 0.0, 0.0);
    close(loss, 0.401_312_340, 1e-8);
    close(kto_loss(released, (-100.0, -104.0), (-120.0, -119.0), false).1, 0.598_687_660, 1e-8);
    let (point, loss, _) = kto_loss(released, (-100.0, -104.0), (-50.0, -90.0), true);
    close(point, 3.5, 1e-12);
    close(loss, 0.487_502_604, 1e-8);
    for desirable in [true, false] {
        close(kto_loss(released, (-5000.0, -5000.0), (-5200.0, -5200.0), desirable).1, 0.5, 1e-12);
    }
}

#[test]
fn paper_kto_has_its_golden_values() {
    let clamped = kto(0.11, KtoForm::Paper, ReferencePoint::Clamp);
    let free = kto(0.11, KtoForm::Paper, ReferencePoint::Free);
    let (_, loss, term) = kto_loss(clamped, (-100.0, -104.0), (-120.0, -119.0), true);
    close(term.reward, -0.6, 1e-9);
    close(loss, 0.645_656_306, 1e-8);
    let (point, loss, _) = kto_loss(free, (-100.0, -104.0), (-120.0, -119.0), true);
    close(point, -1.3, 1e-9);
    close(loss, 0.331_812_228, 1e-8);
    let (point, loss, _) = kto_loss(clamped, (-100.0, -104.0), (-50.0, -90.0), true);
    close(point, 3.5, 1e-9);
    close(loss, 0.983_697_501, 1e-8);
    // Long trajectories: clamped at 0 the sample is dead, otherwise alive.
    let (_, loss, term) = kto_loss(clamped, (-5000.0, -5000.0), (-5200.0, -5200.0), true);
    close(loss, 1.0, 1e-12);
    assert!(term.policy.abs() < 3e-23);
    let (_, loss, term) = kto_loss(free, (-5000.0, -5000.0), (-5200.0, -5200.0), true);
    close(loss, 0.119_202_922, 1e-8);
    close(term.policy, -0.011_55, 1e-4);
    let part = kto(0.11, KtoForm::Paper, ReferencePoint::ClampDivergence);
    let (point, _, term) = kto_loss(part, (-5000.0, -5000.0), (-5200.0, -5200.0), true);
    close(point, -52.0, 1e-9);
    assert!(term.policy < -0.01);
}

#[test]
fn reward_losses_know_their_limits() {
    let settings = BradleyTerry { margin: 0.0, centering: 0.0 };
    close(bradley_terry(settings, 0.0, 0.0).0, 2.0_f64.ln(), 1e-12);
    close(bradley_terry(settings, 1000.0, -1000.0).0, 0.0, 1e-12);
    close(bradley_terry(settings, -1000.0, 1000.0).0, 2000.0, 1e-12);
    close(binary(-800.0, true).loss, 800.0, 1e-12);
    assert_eq!(listwise(&[1.0, 2.0], &[true, true]), None);
    assert_eq!(listwise(&[1.0, 2.0], &[false, false]), None);
    assert_eq!(listwise(&[], &[]), None);
    let term = listwise(&[-2000.0, 2000.0, 0.0], &[true, false, false]).expect("outcomes differ");
    close(term.loss, 4000.0, 1e-12);
    // Two candidates: Bradley–Terry.
    let list = listwise(&[0.3, -0.4], &[true, false]).expect("outcomes differ");
    close(list.loss, bradley_terry(settings, 0.3, -0.4).0, 1e-12);
}

#[test]
fn sft_averages_over_tokens_not_over_rows() {
    let of = |policy, tokens| Sequence { policy, reference: 0.0, tokens };
    assert_eq!(sft(&[]), (0.0, 0.0));
    assert_eq!(sft(&[of(-6.0, 2), of(-4.0, 8)]), (1.0, -0.1));
}

#[test]
fn a_summed_sequence_is_that_of_its_tokens() {
    let sequence = Sequence::of(&[-1.0, -2.5], &[-1.5, -0.5]);
    assert_eq!(sequence, Sequence { policy: -3.5, reference: -2.0, tokens: 2 });
    assert_eq!(sequence.log_ratio(), -1.5);
}

fn objectives() -> impl Strategy<Value = PairObjective> {
    let beta = 0.01..0.6;
    prop_oneof![
        (0.01..0.3_f64, 0.0..0.1_f64, prop::option::of(0.5..8.0_f64)).prop_map(|(beta, bonus, cap)| {
            PairObjective::EntropoDpo(Entropy { alpha: beta + bonus, beta, cap })
        }),
        beta.clone().prop_map(|beta| PairObjective::Dpo { beta }),
        beta.clone().prop_map(|beta| PairObjective::DpoNorm { beta }),
        beta.clone().prop_map(|beta| PairObjective::Ipo { beta }),
        beta.clone().prop_map(|beta| PairObjective::Hinge { beta }),
        (beta.clone(), 0.0..0.45)
            .prop_map(|(beta, label_smoothing)| PairObjective::Robust { beta, label_smoothing }),
        beta.clone().prop_map(|beta| PairObjective::ApoZero { beta }),
        beta.clone().prop_map(|beta| PairObjective::ApoDown { beta }),
        (beta, 0.0..2.0).prop_map(|(beta, gamma)| PairObjective::Simpo { beta, gamma }),
    ]
}

fn sequences() -> impl Strategy<Value = Sequence> {
    (-60.0..0.0_f64, -8.0..8.0_f64, 1..200_usize).prop_map(|(policy, gap, tokens)| Sequence {
        policy,
        reference: policy - gap,
        tokens,
    })
}

/// Central difference of `loss` at `at`.
fn difference(loss: impl Fn(f64) -> f64, at: f64) -> f64 {
    let step = 1e-5 * at.abs().max(1.0);
    (loss(at + step) - loss(at - step)) / (2.0 * step)
}

fn with_policy(sequence: &Sequence, policy: f64) -> Sequence {
    Sequence { policy, ..*sequence }
}

proptest! {
    #[test]
    fn pair_gradients_are_differences(objective in objectives(), chosen in sequences(), rejected in sequences()) {
        let term = objective.evaluate(&chosen, &rejected);
        // The hinge has a corner.
        prop_assume!(!matches!(objective, PairObjective::Hinge { .. }) || (term.logit - 1.0).abs() > 1e-3);
        let by_chosen = difference(|sum| objective.evaluate(&with_policy(&chosen, sum), &rejected).loss, chosen.policy);
        let by_rejected =
            difference(|sum| objective.evaluate(&chosen, &with_policy(&rejected, sum)).loss, rejected.policy);
        prop_assert!((term.chosen - by_chosen).abs() < 1e-6, "chosen {} {}", term.chosen, by_chosen);
        prop_assert!((term.rejected - by_rejected).abs() < 1e-6, "rejected {} {}", term.rejected, by_rejected);
        prop_assert!(objective.problem().is_none());
    }

    #[test]
    fn without_a_bonus_entropo_is_dpo_to_the_bit(beta in 0.01..1.0_f64, chosen in sequences(), rejected in sequences()) {
        let plain = PairObjective::Dpo { beta }.evaluate(&chosen, &rejected);
        let none = PairObjective::EntropoDpo(Entropy::none(beta)).evaluate(&chosen, &rejected);
        prop_assert_eq!(plain.loss.to_bits(), none.loss.to_bits());
        prop_assert_eq!(plain.chosen.to_bits(), none.chosen.to_bits());
        prop_assert_eq!(plain.rejected.to_bits(), none.rejected.to_bits());
    }

    #[test]
    fn without_a_bonus_entropo_kto_is_kto_to_the_bit(
        beta in 0.01..1.0_f64,
        samples in prop::collection::vec((sequences(), any::<bool>()), 1..6),
        mismatched in prop::collection::vec(sequences(), 0..6),
    ) {
        // KTO as it is published: the clamped divergence is subtracted from every log-ratio.
        let divergence = if mismatched.is_empty() { 0.0 } else {
            (beta * (mismatched.iter().map(Sequence::log_ratio).sum::<f64>() / mismatched.len() as f64)).max(0.0)
        };
        let samples: Vec<KtoSample> =
            samples.into_iter().map(|(sequence, desirable)| KtoSample { sequence, desirable }).collect();
        let kto = Kto { entropy: Entropy::none(beta), ..kto(0.1, KtoForm::Paper, ReferencePoint::default()) };
        let batch = kto.evaluate(&samples, &mismatched);
        for (term, sample) in batch.terms.iter().zip(&samples) {
            let advantage = beta * sample.sequence.log_ratio() - divergence;
            let expected = sigmoid(if sample.desirable { -advantage } else { advantage });
            prop_assert_eq!(term.loss.to_bits(), expected.to_bits());
        }
    }

    #[test]
    fn kto_gradients_are_differences(
        (form, point) in prop_oneof![
            Just((KtoForm::Paper, ReferencePoint::ClampDivergence)),
            Just((KtoForm::Paper, ReferencePoint::Free)),
            Just((KtoForm::Released, ReferencePoint::Clamp)),
        ],
        own in sequences(),
        other in sequences(),
        desirable in any::<bool>(),
        alpha in 0.1..0.2_f64,
    ) {
        let kto = kto(alpha, form, point);
        let point = kto.reference_point(&[other]);
        let loss = |sum| kto.term(&KtoSample { sequence: with_policy(&own, sum), desirable }, point).loss;
        let term = kto.term(&KtoSample { sequence: own, desirable }, point);
        prop_assert!((term.policy - difference(loss, own.policy)).abs() < 1e-6);
    }

    #[test]
    fn the_split_into_micro_batches_changes_nothing(
        samples in prop::collection::vec((sequences(), any::<bool>()), 2..8),
        mismatched in prop::collection::vec(sequences(), 1..8),
        cut in 0..8_usize,
    ) {
        let samples: Vec<KtoSample> =
            samples.into_iter().map(|(sequence, desirable)| KtoSample { sequence, desirable }).collect();
        let kto = kto(0.11, KtoForm::Paper, ReferencePoint::default());
        let whole = kto.evaluate(&samples, &mismatched);
        let point = kto.reference_point(&mismatched);
        let (left, right) = samples.split_at(cut.min(samples.len()));
        let parts: Vec<KtoTerm> =
            left.iter().chain(right).map(|sample| kto.term(sample, point)).collect();
        prop_assert_eq!(whole.terms, parts);
    }

    #[test]
    fn verifier_gradients_are_differences(
        scores in prop::collection::vec(-5.0..5.0_f64, 2..7),
        labels in prop::collection::vec(any::<bool>(), 7),
        margin in 0.0..1.0_f64,
        centering in 0.0..0.1_f64,
    ) {
        let labels = &labels[..scores.len()];
        if let Some(term) = listwise(&scores, labels) {
            for index in 0..scores.len() {
                let loss = |score| {
                    let mut moved = scores.clone();
                    moved[index] = score;
                    listwise(&moved, labels).expect("the labels did not change").loss
                };
                prop_assert!((term.slopes[index] - difference(loss, scores[index])).abs() < 1e-6);
            }
        }
        let settings = BradleyTerry { margin, centering };
        let (_, slopes) = bradley_terry(settings, scores[0], scores[1]);
        prop_assert!((slopes[0] - difference(|s| bradley_terry(settings, s, scores[1]).0, scores[0])).abs() < 1e-6);
        prop_assert!((slopes[1] - difference(|s| bradley_terry(settings, scores[0], s).0, scores[1])).abs() < 1e-6);
        let slope = binary(scores[0], labels[0]).slope;
        prop_assert!((slope - difference(|s| binary(s, labels[0]).loss, scores[0])).abs() < 1e-6);
    }

    #[test]
    fn nothing_overflows(
        objective in objectives(),
        sums in prop::array::uniform4(-1e6..0.0_f64),
        tokens in 0..5_usize,
    ) {
        let of = |policy, reference| Sequence { policy, reference, tokens };
        let term = objective.evaluate(&of(sums[0], sums[1]), &of(sums[2], sums[3]));
        prop_assert!(term.loss.is_finite() && term.chosen.is_finite() && term.rejected.is_finite());
        let kto = kto(0.11, KtoForm::Paper, ReferencePoint::default());
        let sample = KtoSample { sequence: of(sums[0], sums[1]), desirable: true };
        let batch = kto.evaluate(&[sample], &[of(sums[2], sums[3])]);
        prop_assert!(batch.loss.is_finite() && batch.terms[0].policy.is_finite());
    }
}
