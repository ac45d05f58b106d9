//! The learning rate over the steps of a run.

use crate::config::{ScheduleKind, TrainingConfig};

/// The learning rate of a step, from 0, of so many. As Hugging Face's schedules: a warm-up of n steps begins at 0, and
/// reaches the peak at step n; a line ends at the lowest rate after the last step.
pub(crate) fn learning_rate(config: &TrainingConfig, step: usize, steps: usize) -> f64 {
    let warmup = config.warmup(steps);
    if step < warmup {
        return config.learning_rate * step as f64 / warmup as f64;
    }
    let progress = (step - warmup) as f64 / steps.saturating_sub(warmup).max(1) as f64;
    let progress = progress.min(1.0);
    let share = match config.schedule {
        ScheduleKind::Constant => return config.learning_rate,
        ScheduleKind::Linear => 1.0 - progress,
        ScheduleKind::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        ScheduleKind::Wsd => {
            let decay = (config.decay_ratio * steps as f64).max(f64::MIN_POSITIVE);
            ((steps - step.min(steps)) as f64 / decay).min(1.0)
        }
    };
    config.learning_rate * (config.min_lr_ratio + (1.0 - config.min_lr_ratio) * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(config: &TrainingConfig, steps: usize) -> Vec<f64> {
        (0..steps).map(|step| (learning_rate(config, step, steps) * 1e4).round() / 1e4).collect()
    }

    fn config(schedule: ScheduleKind) -> TrainingConfig {
        TrainingConfig { learning_rate: 1.0, schedule, ..TrainingConfig::default() }
    }

    #[test]
    fn schedules_are_those_of_hugging_face() {
        assert_eq!(rates(&config(ScheduleKind::Linear), 4), [1.0, 0.75, 0.5, 0.25]);
        let warm = TrainingConfig { warmup_steps: Some(2), ..config(ScheduleKind::Linear) };
        assert_eq!(rates(&warm, 6), [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]);
        assert_eq!(rates(&config(ScheduleKind::Cosine), 4), [1.0, 0.8536, 0.5, 0.1464]);
        let wsd = TrainingConfig { decay_ratio: 0.5, ..config(ScheduleKind::Wsd) };
        assert_eq!(rates(&wsd, 8), [1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]);
        let low = TrainingConfig { min_lr_ratio: 0.1, ..config(ScheduleKind::Linear) };
        assert_eq!(rates(&low, 2), [1.0, 0.55]);
        let ratio = TrainingConfig { warmup_ratio: Some(0.5), ..config(ScheduleKind::Constant) };
        assert_eq!(rates(&ratio, 4), [0.0, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn no_step_is_outside_the_schedule() {
        for kind in [ScheduleKind::Constant, ScheduleKind::Linear, ScheduleKind::Cosine, ScheduleKind::Wsd] {
            for steps in 1..4 {
                let all = TrainingConfig { warmup_steps: Some(5), ..config(kind) };
                assert!(rates(&all, steps).iter().all(|rate| (0.0..=1.0).contains(rate)));
                assert!(learning_rate(&config(kind), steps + 3, steps) >= 0.0);
            }
        }
    }
}
