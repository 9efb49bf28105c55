//! The two sums of the last-iterate bound of convex optimisation.

/// For every point t the pair (1/(2 Σ η), noise sum) of the bound, both over updates 1 … t.
///
/// # Formula
/// ```text
/// f₁(t) = 1/(2 A₁)
/// f₂(t) = B₁/(2 A₁) + ½ Σ_{k<t} η_k/A_{k+1} · B_k/A_k        A_k = Σ_{j=k}^t η_j,  B_k = Σ_{j=k}^t η_j²
/// bound = D²·f₁ + G²·f₂
/// ```
/// Updates at rate 0 change nothing: they are skipped.
///
/// # Source
/// Schaipp et al., The Surprising Agreement Between Convex Optimization Theory and Learning-Rate Scheduling, 2025.
#[must_use]
pub fn bound_terms(rates: &[f64], points: &[u64]) -> Vec<[f64; 2]> {
    points
        .iter()
        .map(|&t| {
            let (mut a, mut b, mut sum) = (0.0, 0.0, 0.0);
            for &rate in rates[..t as usize].iter().rev().filter(|&&rate| rate > 0.0) {
                let a_next = a;
                a += rate;
                b += rate * rate;
                if a_next > 0.0 {
                    sum += rate / a_next * (b / a);
                }
            }
            if a == 0.0 { [f64::INFINITY, 0.0] } else { [0.5 / a, 0.5 * b / a + 0.5 * sum] }
        })
        .collect()
}
