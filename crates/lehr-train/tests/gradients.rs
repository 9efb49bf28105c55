//! The engine's gradients against finite differences, in `f64`, tensor by tensor.

use lehr_train::config::{ExpertsConfig, ModelConfig, Parametrisation};
use lehr_train::engine::network::Network;

/// A small dense model with awkward sizes: none is a multiple of the vector width, T is longer than a block of attention.
fn dense() -> ModelConfig {
    ModelConfig {
        vocabulary: 19,
        context: 70,
        width: 24,
        layers: 2,
        heads: 3,
        hidden: 40,
        tied: false,
        rope_theta: 100.0,
        norm_epsilon: 1e-3,
        parametrisation: Parametrisation::Standard,
        experts: None,
    }
}

fn experts(shared: u32) -> ModelConfig {
    let experts = ExpertsConfig { count: 5, top_k: 2, hidden: 16, shared, balance: 0.3, z: 0.1 };
    ModelConfig { experts: Some(experts), ..dense() }
}

/// A fixed sequence of numbers in −1 … 1.
fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

/// The loss that the gradient belongs to: mean cross-entropy plus auxiliary terms.
fn objective(
    config: &ModelConfig,
    network: &Network<f64>,
    parameters: &[f64],
    tokens: &[u32],
    gradient: Option<&mut [f64]>,
) -> f64 {
    let rows = tokens.len() / (config.context as usize + 1);
    let count = (rows * config.context as usize) as f64;
    let mut workspace = network.workspace(rows);
    let gradient = gradient.map(|gradient| (1.0 / count, gradient));
    let sums = network.pass(parameters, tokens, &mut workspace, gradient, &mut |_, _, _| ());
    let auxiliary = config.experts.as_ref().map_or(0.0, |moe| {
        moe.balance * sums.auxiliary.balance / rows as f64 + moe.z * sums.auxiliary.z / count
    });
    sums.loss / count + auxiliary
}

fn check(name: &str, config: &ModelConfig) {
    config.check().unwrap();
    let network = Network::<f64>::new(config);
    let mut parameters: Vec<f64> =
        network.layout().initial(3).iter().map(|&value| f64::from(value)).collect();
    // Gains away from 1, or a wrong use of them could hide.
    for tensor in network.layout().tensors.iter().filter(|tensor| tensor.deviation.is_none()) {
        for (value, noise) in parameters[tensor.range.clone()].iter_mut().zip(noise(tensor.range.len(), 5)) {
            *value += 0.3 * noise;
        }
    }
    // Nine sequences of 70 tokens make two micro-batches.
    let rows = 9;
    let tokens: Vec<u32> = noise(rows * (config.context as usize + 1), 11)
        .iter()
        .map(|x| ((x + 1.0) / 2.0 * f64::from(config.vocabulary)) as u32)
        .collect();
    let mut gradient = vec![0.0; parameters.len()];
    objective(config, &network, &parameters, &tokens, Some(&mut gradient));
    for (i, tensor) in network.layout().tensors.iter().enumerate() {
        let direction = noise(tensor.range.len(), 100 + i as u64);
        let along: f64 = gradient[tensor.range.clone()].iter().zip(&direction).map(|(g, d)| g * d).sum();
        let size: f64 = gradient[tensor.range.clone()].iter().map(|g| g * g).sum::<f64>().sqrt();
        let at = |step: f64| {
            let mut moved = parameters.clone();
            for (value, d) in moved[tensor.range.clone()].iter_mut().zip(&direction) {
                *value += step * d;
            }
            objective(config, &network, &moved, &tokens, None)
        };
        let h = 1e-5;
        // Fourth order: the error is about h⁴ and the rounding 1e-16/h.
        let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
        let tolerance = 1e-7 * size.max(1e-3);
        assert!(
            (slope - along).abs() < tolerance,
            "{name}, {}: the gradient says {along}, finite differences {slope} (norm {size})",
            tensor.name
        );
        assert!(size > 0.0, "{name}, {}: no gradient at all", tensor.name);
    }
}

#[test]
fn dense_blocks_with_an_untied_head_have_the_gradient_of_their_loss() {
    check("dense", &dense());
}

#[test]
fn a_tied_head_adds_its_gradient_to_the_embedding() {
    check("tied", &ModelConfig { tied: true, ..dense() });
}

#[test]
fn width_scaled_models_have_the_gradient_of_their_loss() {
    check("µP", &ModelConfig { parametrisation: Parametrisation::Mup { base_width: 8 }, ..dense() });
}

#[test]
fn routed_experts_have_the_gradient_of_their_loss_with_both_auxiliary_terms() {
    check("experts", &experts(0));
}

#[test]
fn shared_experts_have_the_gradient_of_their_loss() {
    check("shared experts", &experts(2));
}

#[test]
fn one_expert_per_token_trains_its_router_through_the_auxiliary_terms() {
    let mut config = experts(0);
    if let Some(moe) = &mut config.experts {
        moe.top_k = 1;
    }
    check("top-1", &config);
}
