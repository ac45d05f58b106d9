use proptest::prelude::*;

use super::*;

/// Outcomes that follow σ(a·logit + b) as nearly as counts can.
fn drawn(a: f64, b: f64, each: usize) -> Vec<Observed> {
    let mut rows = Vec::new();
    for step in -30..=30 {
        let logit = f64::from(step) / 10.0;
        let positive = (sigmoid(a * logit + b) * each as f64).round() as usize;
        rows.extend((0..each).map(|at| Observed { logit, resolved: at < positive, weight: 1.0 }));
    }
    rows
}

#[test]
fn platt_finds_the_curve_the_outcomes_came_from() {
    let Calibration::Platt { slope, intercept } =
        Calibration::fit(&drawn(1.7, -0.8, 1000), Method::Platt).unwrap()
    else {
        panic!()
    };
    assert!((slope - 1.7).abs() < 0.01 && (intercept + 0.8).abs() < 0.01, "{slope} {intercept}");
}

/// Slope and intercept for the twelve rows below, worked out by gradient descent in Python with targets 6/7 and 1/9.
const PLATT: (f64, f64) = (0.220_207_467, -1.569_757_680);

#[test]
fn platt_agrees_with_a_second_implementation() {
    let resolved = [0, 0, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1];
    let rows: Vec<Observed> = resolved
        .iter()
        .enumerate()
        .map(|(at, &resolved)| Observed { logit: at as f64, resolved: resolved == 1, weight: 1.0 })
        .collect();
    let Calibration::Platt { slope, intercept } = Calibration::fit(&rows, Method::Auto).unwrap() else {
        panic!()
    };
    assert!((slope - PLATT.0).abs() < 1e-6 && (intercept - PLATT.1).abs() < 1e-6, "{slope} {intercept}");
}

#[test]
fn isotonic_pools_what_falls() {
    let rows: Vec<Observed> =
        [(0.0, 0), (1.0, 0), (1.0, 1), (2.0, 0), (3.0, 1), (4.0, 0), (5.0, 1), (6.0, 1), (7.0, 1), (-1.0, 0)]
            .into_iter()
            .map(|(logit, resolved)| Observed { logit, resolved: resolved == 1, weight: 1.0 })
            .collect();
    let Calibration::Isotonic { logits, probabilities } = Calibration::fit(&rows, Method::Isotonic).unwrap()
    else {
        panic!()
    };
    let third = 1.0 / 3.0;
    let edge = 1.0 / 12.0;
    // Equal rates are one block: -1 and 0; 5, 6 and 7.
    let wanted = [(-0.5, edge), (4.0 / 3.0, third), (3.5, 0.5), (6.0, 1.0 - edge)];
    assert_eq!(logits.len(), wanted.len(), "{logits:?}");
    for ((logit, probability), (at, p)) in logits.iter().zip(&probabilities).zip(wanted) {
        assert!(
            (logit - at).abs() < 1e-12 && (probability - p).abs() < 1e-12,
            "{logits:?} {probabilities:?}"
        );
    }
    let calibration = Calibration::Isotonic { logits, probabilities };
    assert_eq!(calibration.probability(-9.0), edge);
    assert_eq!(calibration.probability(f64::INFINITY), 1.0 - edge);
    assert!((calibration.probability(4.75) - f64::midpoint(0.5, 11.0 / 12.0)).abs() < 1e-12);
}

#[test]
fn calibrated_probabilities_are_better_than_raw_ones_on_rows_not_seen() {
    let (seen, unseen) = (drawn(0.4, -1.0, 90), drawn(0.4, -1.0, 61));
    let measure = |of: &dyn Fn(f64) -> f64| {
        let rows: Vec<(f64, bool)> = unseen.iter().map(|row| (of(row.logit), row.resolved)).collect();
        quality(&rows).unwrap()
    };
    let raw = measure(&sigmoid);
    for method in [Method::Platt, Method::Isotonic, Method::Auto] {
        let fitted = Calibration::fit(&seen, method).unwrap();
        let now = measure(&|logit| fitted.probability(logit));
        assert!(now.log_loss < raw.log_loss && now.brier < raw.brier, "{method:?}");
        assert!(now.expected_error < 0.03 && raw.expected_error > 0.15, "{method:?} {now:?} {raw:?}");
    }
}

#[test]
fn worth_is_measured_on_issues_that_were_not_fitted_to() {
    let rows = drawn(0.4, -1.0, 20);
    let names: Vec<String> = (0..rows.len()).map(|at| format!("issue-{}", at % 40)).collect();
    let named: Vec<(&str, Observed)> = names.iter().map(String::as_str).zip(rows).collect();
    let worth = held_out(&named, Method::Platt, 5).unwrap();
    assert_eq!(worth.rows, named.len());
    assert!(worth.calibrated.log_loss < worth.raw.log_loss);
    assert!(worth.calibrated.expected_error < 0.06 && worth.raw.expected_error > 0.15, "{worth:?}");
    // One issue is in one fold, so nothing is left to fit to when it is measured.
    let one: Vec<(&str, Observed)> = named.iter().map(|(_, row)| ("issue", *row)).collect();
    assert_eq!(held_out(&one, Method::Platt, 5), None);
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let row = |logit: f64, resolved| Observed { logit, resolved, weight: 1.0 };
    assert_eq!(Calibration::fit(&[row(f64::NAN, true)], Method::Auto), Err(FitError::NotFinite(0)));
    let one_sided: Vec<Observed> = (0..20).map(|at| row(f64::from(at), true)).collect();
    assert_eq!(
        Calibration::fit(&one_sided, Method::Auto),
        Err(FitError::TooFew { resolved: 20, unresolved: 0, least: 5 })
    );
    let backwards: Vec<Observed> = (0..20).map(|at| row(f64::from(at), at < 10)).collect();
    assert!(
        matches!(Calibration::fit(&backwards, Method::Isotonic), Err(FitError::NoSignal(slope)) if slope < 0.0)
    );
    let constant: Vec<Observed> = (0..20).map(|at| row(1.0, at < 10)).collect();
    assert_eq!(Calibration::fit(&constant, Method::Auto), Err(FitError::NoSignal(0.0)));
}

#[test]
fn files_are_checked() {
    let platt = Calibration::Platt { slope: 1.5, intercept: -0.5 };
    let text = serde_json::to_string(&platt).unwrap();
    assert_eq!(text, r#"{"method":"platt","slope":1.5,"intercept":-0.5}"#);
    assert_eq!(serde_json::from_str::<Calibration>(&text).unwrap(), platt);
    for bad in [
        r#"{"method":"platt","slope":0,"intercept":0}"#,
        r#"{"method":"platt","slope":1,"intercept":0,"extra":1}"#,
        r#"{"method":"isotonic","logits":[],"probabilities":[]}"#,
        r#"{"method":"isotonic","logits":[1,0],"probabilities":[0.1,0.2]}"#,
        r#"{"method":"isotonic","logits":[0,1],"probabilities":[0.2,0.1]}"#,
        r#"{"method":"isotonic","logits":[0,1],"probabilities":[0.2,1.1]}"#,
        r#"{"method":"none"}"#,
    ] {
        assert!(serde_json::from_str::<Calibration>(bad).is_err(), "{bad}");
    }
}

fn rows() -> impl Strategy<Value = Vec<Observed>> {
    let row = (-1e3_f64..1e3, any::<bool>(), 0.01_f64..10.0);
    let row = row.prop_map(|(logit, resolved, weight)| Observed { logit, resolved, weight });
    prop::collection::vec(row, 10..80)
}

proptest! {
    #[test]
    fn probabilities_rise_with_the_logit_and_stay_inside(rows in rows(), at in prop::collection::vec(-2e3_f64..2e3, 2..20)) {
        for method in [Method::Platt, Method::Isotonic] {
            if let Ok(fitted) = Calibration::fit(&rows, method) {
                let mut at = at.clone();
                at.sort_by(f64::total_cmp);
                let probabilities: Vec<f64> = at.iter().map(|&logit| fitted.probability(logit)).collect();
                prop_assert!(probabilities.is_sorted(), "{probabilities:?}");
                prop_assert!(probabilities.iter().all(|p| (0.0..=1.0).contains(p)));
                prop_assert!(fitted.probability(f64::NAN).is_nan());
                let text = serde_json::to_string(&fitted).unwrap();
                prop_assert_eq!(serde_json::from_str::<Calibration>(&text).unwrap(), fitted);
            }
        }
    }

    #[test]
    fn order_and_scale_of_the_rows_do_not_matter(rows in rows(), by in 0.01_f64..100.0) {
        let (Ok(fitted), Ok(turned)) = (
            Calibration::fit(&rows, Method::Platt),
            Calibration::fit(&rows.iter().rev().map(|row| Observed { logit: row.logit * by, ..*row }).collect::<Vec<_>>(), Method::Platt),
        ) else { return Ok(()) };
        for logit in [-900.0, -1.0, 0.0, 30.0] {
            prop_assert!((fitted.probability(logit) - turned.probability(logit * by)).abs() < 1e-6);
        }
    }
}
