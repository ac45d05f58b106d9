//! Prints how near training comes to the closed form: `cargo run -p trainer --example closed_form`.
#![expect(clippy::print_stdout, reason = "a report")]

use trainer::{
    closed_form::{Policy, Tree, fit},
    objectives::Entropy,
};

fn main() {
    println!(
        "| turns × actions | tool | α | KL(π* ‖ π), nats | mass on good leaves | entropy among them, nats |"
    );
    println!("|---|---|---|---|---|---|");
    for (depth, actions, answers) in [(2, 3, 1), (3, 2, 1), (3, 3, 1), (2, 3, 2)] {
        let tree = Tree::complete(depth, actions, answers, |leaf| f64::from(u8::from(leaf % 3 == 0)) * 0.5);
        let reference: Policy = tree
            .states
            .iter()
            .enumerate()
            .map(|(state, row)| {
                let weights: Vec<f64> =
                    (0..row.len()).map(|action| 1.0 + ((state * 5 + action * 3) % 7) as f64).collect();
                let total: f64 = weights.iter().sum();
                weights.iter().map(|weight| weight / total).collect()
            })
            .collect();
        let tool = if answers == 1 { "certain" } else { "by chance" };
        for alpha in [0.1, 0.105, 0.11, 0.13, 0.15] {
            let fit = fit(&tree, &reference, Entropy { alpha, beta: 0.1, cap: None }, 4_000);
            println!(
                "| {depth} × {actions} | {tool} | {alpha} | {:.1e} | {:.4} | {:.3} |",
                fit.divergence, fit.good, fit.entropy
            );
        }
    }
}
