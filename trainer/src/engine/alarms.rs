//! Signs that a run goes wrong, in the figures that it reports anyway.

use super::checkpoint::State;
use crate::{
    config::RunConfig,
    run::{AlarmKind, Metrics},
};

/// Alarms that these metrics give rise to, each at most once in a run. `state` remembers what they are compared with.
pub(crate) fn raised(config: &RunConfig, state: &mut State, metrics: &Metrics) -> Vec<(AlarmKind, String)> {
    for name in ["entropy", "logps/chosen"] {
        if let Some(&value) = metrics.get(name) {
            state.first.entry(name.to_owned()).or_insert(value);
        }
    }
    let of = |name: &str| metrics.get(name).copied();
    let mut found = Vec::new();
    if let (Some(now), Some(&first)) = (of("entropy"), state.first.get("entropy"))
        && now < 0.2 * first
    {
        let advice = if config.objective.kind.word().starts_with("entropo") {
            "raise objective.alpha, or stop earlier"
        } else {
            "EntroPO (objective.kind = \"entropo-dpo\" or \"entropo-kto\") keeps it up"
        };
        let message = format!(
            "the policy's entropy over trained tokens fell from {first:.3} to {now:.3} nats; samples will be alike: {advice}"
        );
        found.push((AlarmKind::EntropyCollapse, message));
    }
    if let (Some(now), Some(&first)) = (of("logps/chosen_drift"), state.first.get("logps/chosen"))
        && now < -0.1 * first.abs()
        && now < -10.0
    {
        let message = format!(
            "chosen trajectories are {:.1} nats less likely than under the reference (they had {first:.1}); an SFT term \
             (objective.sft_weight) or a lower training.learning_rate holds them",
            -now
        );
        found.push((AlarmKind::ChosenFalling, message));
    }
    if let Some(share) = of("saturated").filter(|&share| share > 0.5) {
        let message = format!(
            "{:.0} % of the pairs have logits beyond ±4.6 and hardly a gradient; lower objective.alpha or beta, or set \
             objective.cap",
            100.0 * share
        );
        found.push((AlarmKind::Saturated, message));
    }
    if of("grad_norm") == Some(0.0) {
        let message =
            "the gradient is 0: nothing is learned; look at the rows with `entropo data inspect`".to_owned();
        found.push((AlarmKind::ZeroGradient, message));
    }
    // Of a step with few pairs it says nothing.
    if let Some(share) = of("length_bias").filter(|share| *share > 0.95 || *share < 0.05)
        && config.training.rows_per_step * config.log.every_steps >= 20
    {
        let side = if share > 0.5 { "longer" } else { "shorter" };
        let message = format!(
            "in {:.0} % of the pairs the {side} trajectory is preferred; its length may be all that is learned",
            100.0 * share.max(1.0 - share)
        );
        found.push((AlarmKind::LengthBias, message));
    }
    found.retain(|(kind, _)| {
        let name = format!("{kind:?}");
        let new = !state.alarms.contains(&name);
        if new {
            state.alarms.push(name);
        }
        new
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> RunConfig {
        let text = "[model]\npath = \"m\"\n[data]\ntrain = \"t\"\n[training]\nrows_per_step = 32";
        RunConfig::from_toml("test", text, &[]).expect("valid")
    }

    fn kinds(state: &mut State, metrics: &[(&str, f64)]) -> Vec<AlarmKind> {
        let metrics = metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        raised(&config(), state, &metrics).into_iter().map(|(kind, _)| kind).collect()
    }

    #[test]
    fn each_sign_is_seen_once() {
        let mut state = State::default();
        assert!(
            kinds(&mut state, &[("entropy", 2.0), ("logps/chosen", -300.0), ("grad_norm", 1.0)]).is_empty()
        );
        let bad = [
            ("entropy", 0.3),
            ("logps/chosen_drift", -50.0),
            ("saturated", 0.6),
            ("grad_norm", 0.0),
            ("length_bias", 1.0),
        ];
        assert_eq!(kinds(&mut state, &bad).len(), 5);
        assert!(kinds(&mut state, &bad).is_empty());
    }
}
