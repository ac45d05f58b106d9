//! Multi-turn problems as trees.

use super::Policy;
use crate::objectives::Entropy;

/// What an action leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The end, with this utility.
    Leaf(f64),
    /// The tool's answers: the probability of each and the state (a position in [`Tree::states`]) it leads to.
    Tool(Vec<(f64, usize)>),
}

/// A state in which the policy acts: the outcome of each action.
pub type State = Vec<Outcome>;

/// A problem. State 0 is the first; tools lead to later states only.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// All states.
    pub states: Vec<State>,
}

/// One whole trajectory: what was done where, how it ended, and how likely the tools' answers were.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    /// (state, action) of every turn.
    pub turns: Vec<(usize, usize)>,
    /// Utility of the leaf.
    pub utility: f64,
    /// Product of the probabilities of the tools' answers: 1 when they are certain.
    pub chance: f64,
}

impl Path {
    /// Log-probability of the actions; the tools' answers are not the policy's.
    pub fn log_probability(&self, policy: &Policy) -> f64 {
        self.turns.iter().map(|&(state, action)| policy[state][action].ln()).sum()
    }
}

impl Tree {
    /// A tree of `depth` turns with `actions` actions each; `utility` gives that of each leaf, in order. Tools answer
    /// with one of `answers` observations, alike likely.
    pub fn complete(
        depth: usize,
        actions: usize,
        answers: usize,
        mut utility: impl FnMut(usize) -> f64,
    ) -> Self {
        let mut states: Vec<State> = vec![Vec::new()];
        let mut open = vec![0];
        let mut leaves = 0;
        for turn in 1..=depth {
            let mut next = Vec::new();
            for state in open {
                for _ in 0..actions {
                    let outcome = if turn == depth {
                        leaves += 1;
                        Outcome::Leaf(utility(leaves - 1))
                    } else {
                        let chance = 1.0 / answers as f64;
                        let after: Vec<usize> = (0..answers).map(|answer| states.len() + answer).collect();
                        states.extend(after.iter().map(|_| Vec::new()));
                        next.extend(&after);
                        Outcome::Tool(after.into_iter().map(|state| (chance, state)).collect())
                    };
                    states[state].push(outcome);
                }
            }
            open = next;
        }
        Self { states }
    }

    /// Every trajectory, in order of the actions.
    pub fn paths(&self) -> Vec<Path> {
        let mut paths = Vec::new();
        self.extend(0, &mut Vec::new(), 1.0, &mut paths);
        paths
    }

    fn extend(&self, state: usize, turns: &mut Vec<(usize, usize)>, chance: f64, paths: &mut Vec<Path>) {
        for (action, outcome) in self.states[state].iter().enumerate() {
            turns.push((state, action));
            match outcome {
                Outcome::Leaf(utility) => {
                    paths.push(Path { turns: turns.clone(), utility: *utility, chance });
                }
                Outcome::Tool(answers) => {
                    for &(probability, next) in answers {
                        self.extend(next, turns, chance * probability, paths);
                    }
                }
            }
            turns.pop();
        }
    }

    /// The entropy-regularised optimum, by backward induction.
    pub fn optimum(&self, reference: &Policy, entropy: Entropy) -> Policy {
        let Entropy { alpha, beta, .. } = entropy;
        let mut values = vec![0.0; self.states.len()];
        let mut policy = vec![Vec::new(); self.states.len()];
        for (state, outcomes) in self.states.iter().enumerate().rev() {
            let logits: Vec<f64> = outcomes
                .iter()
                .zip(&reference[state])
                .map(|(outcome, reference)| {
                    let quality = match outcome {
                        Outcome::Leaf(utility) => *utility,
                        Outcome::Tool(answers) => {
                            answers.iter().map(|(chance, next)| chance * values[*next]).sum()
                        }
                    };
                    (beta * reference.ln() + quality) / alpha
                })
                .collect();
            let total = crate::objectives::log_sum_exp(logits.iter().copied());
            values[state] = alpha * total;
            policy[state] = logits.iter().map(|logit| (logit - total).exp()).collect();
        }
        policy
    }
}
