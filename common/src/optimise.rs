//! Minimising smooth convex functions: L-BFGS with a backtracking line search. Deterministic.

/// Pairs of steps and gradient changes that are remembered.
const MEMORY: usize = 12;
/// Sufficient decrease (Armijo).
const ARMIJO: f64 = 1e-4;

/// Minimises `value`, which returns the function's value at a point and writes its gradient.
///
/// Stops when the gradient's largest entry falls below `tolerance`, when no step makes progress, or after
/// `iterations`.
pub fn minimise(
    start: Vec<f64>,
    tolerance: f64,
    iterations: usize,
    mut value: impl FnMut(&[f64], &mut [f64]) -> f64,
) -> Vec<f64> {
    let size = start.len();
    let mut point = start;
    let mut gradient = vec![0.0; size];
    let mut current = value(&point, &mut gradient);
    let mut history: Vec<(Vec<f64>, Vec<f64>, f64)> = Vec::new();
    for _ in 0..iterations {
        if gradient.iter().all(|g| g.abs() < tolerance) {
            break;
        }
        let direction = direction(&gradient, &history);
        let slope = dot(&direction, &gradient);
        if slope >= 0.0 || !slope.is_finite() {
            break;
        }
        // The first step has no scale yet: do not leap.
        let mut length =
            if history.is_empty() { (1.0 / dot(&gradient, &gradient).sqrt()).min(1.0) } else { 1.0 };
        let mut next_gradient = vec![0.0; size];
        let accepted = (0..40).find_map(|_| {
            let next: Vec<f64> = point.iter().zip(&direction).map(|(x, d)| x + length * d).collect();
            let reached = value(&next, &mut next_gradient);
            let enough = reached.is_finite() && reached <= current + ARMIJO * length * slope;
            length *= if enough { 1.0 } else { 0.5 };
            enough.then_some((next, reached))
        });
        let Some((next, reached)) = accepted else { break };
        let step: Vec<f64> = next.iter().zip(&point).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&step, &change);
        if curvature > 1e-12 * dot(&change, &change) {
            if history.len() == MEMORY {
                history.remove(0);
            }
            history.push((step, change, 1.0 / curvature));
        }
        let progress = current - reached;
        (point, gradient, current) = (next, next_gradient, reached);
        if progress <= 1e-12 * current.abs().max(1e-12) {
            break;
        }
    }
    point
}

/// The two-loop recursion: minus the approximate inverse Hessian times the gradient.
fn direction(gradient: &[f64], history: &[(Vec<f64>, Vec<f64>, f64)]) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut alphas = Vec::with_capacity(history.len());
    for (step, change, inverse) in history.iter().rev() {
        let alpha = inverse * dot(step, &direction);
        add(&mut direction, -alpha, change);
        alphas.push(alpha);
    }
    if let Some((_, change, inverse)) = history.last() {
        let scale = 1.0 / (inverse * dot(change, change));
        for slot in &mut direction {
            *slot *= scale;
        }
    }
    for ((step, change, inverse), alpha) in history.iter().zip(alphas.into_iter().rev()) {
        let beta = inverse * dot(change, &direction);
        add(&mut direction, alpha - beta, step);
    }
    direction
}

/// The inner product.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// `to += factor · from`.
pub fn add(to: &mut [f64], factor: f64, from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_minimum_of_a_skewed_bowl() {
        let scale = [1.0, 40.0, 0.1, 900.0];
        let at = [3.0, -2.0, 0.5, 7.0];
        let found = minimise(vec![0.0; 4], 1e-9, 200, |point, gradient| {
            let mut value = 0.0;
            for i in 0..4 {
                gradient[i] = scale[i] * (point[i] - at[i]);
                value += 0.5 * scale[i] * (point[i] - at[i]).powi(2);
            }
            value
        });
        for (found, wanted) in found.iter().zip(at) {
            assert!((found - wanted).abs() < 1e-5, "{found} is not {wanted}");
        }
    }

    #[test]
    fn finds_the_logistic_solution() {
        // Two points at x = 1, one positive: the weight with penalty 0 is 0; with three of four it is ln 3.
        let found = minimise(vec![0.0], 1e-10, 100, |w, gradient| {
            let p = 1.0 / (1.0 + (-w[0]).exp());
            gradient[0] = 4.0 * p - 3.0;
            -(3.0 * p.ln() + (1.0 - p).ln())
        });
        assert!((found[0] - 3.0_f64.ln()).abs() < 1e-6);
    }
}
