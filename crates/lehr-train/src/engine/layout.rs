//! Where every tensor of a model lies in the one vector of parameters, and how it starts and is updated.

use crate::config::{ModelConfig, Parametrisation};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::ops::Range;

/// One tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Name, as in snapshots: `blocks.3.attention.qkv`.
    pub name: String,
    /// Shape; matrices are inputs × outputs.
    pub shape: Vec<usize>,
    /// Place in the vector of parameters.
    pub range: Range<usize>,
    /// Standard deviation of the initial values; `None`: all 1 (gains).
    pub deviation: Option<f64>,
    /// Factor of the rate.
    pub rate: f64,
    /// Whether weight decay applies.
    pub decay: bool,
}

/// Places of a SwiGLU: `gate_up` d × 2f, `down` f × d.
#[derive(Debug, Clone)]
pub struct SwiGlu {
    /// Inner width f.
    pub hidden: usize,
    /// Gates and ups, d × 2f.
    pub gate_up: Range<usize>,
    /// f × d.
    pub down: Range<usize>,
}

/// Places of a block's tensors.
#[derive(Debug, Clone)]
pub struct Block {
    /// Gain before the attention.
    pub norm1: Range<usize>,
    /// d × 3d.
    pub qkv: Range<usize>,
    /// d × d.
    pub out: Range<usize>,
    /// Gain before the feed-forward part.
    pub norm2: Range<usize>,
    /// Dense part: the block's SwiGLU, or the shared experts.
    pub dense: Option<SwiGlu>,
    /// Router, d × E.
    pub router: Range<usize>,
    /// Routed experts; empty for a dense block.
    pub experts: Vec<SwiGlu>,
}

/// Places of all tensors.
#[derive(Debug, Clone)]
pub struct Layout {
    /// All tensors in order.
    pub tensors: Vec<Tensor>,
    /// V × d.
    pub embedding: Range<usize>,
    /// Blocks in order.
    pub blocks: Vec<Block>,
    /// Gain before the head.
    pub norm: Range<usize>,
    /// V × d; the embedding's place when tied.
    pub head: Range<usize>,
    /// Factor of the logits.
    pub logit_scale: f64,
    /// Factor of the attention scores.
    pub attention_scale: f64,
}

/// Collects tensors one after the other.
struct Builder {
    tensors: Vec<Tensor>,
    end: usize,
}

impl Builder {
    fn push(&mut self, name: String, shape: &[usize], deviation: Option<f64>, rate: f64) -> Range<usize> {
        let range = self.end..self.end + shape.iter().product::<usize>();
        self.end = range.end;
        let decay = deviation.is_some();
        self.tensors.push(Tensor {
            name,
            shape: shape.to_vec(),
            range: range.clone(),
            deviation,
            rate,
            decay,
        });
        range
    }
}

impl Layout {
    /// The layout of a checked configuration.
    ///
    /// # Formula
    /// ```text
    /// standard: σ = 1/√inputs for matrices, further /√(2·layers) for those that write into the residual stream,
    ///           1/√d for embedding and head;  scores × 1/√h;  rates × 1
    /// µP:       the same σ, rate of matrices × base/d, logits × base/d, scores × √h_base/h  (h_base = h·base/d)
    /// ```
    /// # Source
    /// Yang et al., "Tensor Programs V", 2022, table 8 (Adam).
    #[must_use]
    pub fn new(config: &ModelConfig) -> Self {
        let d = config.width as usize;
        let vocabulary = config.vocabulary as usize;
        let head_width = (config.width / config.heads) as usize;
        let ratio = match config.parametrisation {
            Parametrisation::Standard => 1.0,
            Parametrisation::Mup { base_width } => f64::from(base_width) / d as f64,
        };
        let standard = |inputs: usize| 1.0 / (inputs as f64).sqrt();
        let residual = 1.0 / (2.0 * f64::from(config.layers)).sqrt();
        let mut builder = Builder { tensors: Vec::new(), end: 0 };
        let embedding = builder.push("embedding".into(), &[vocabulary, d], Some(standard(d)), 1.0);
        let swiglu = |builder: &mut Builder, name: String, hidden: usize| SwiGlu {
            hidden,
            gate_up: builder.push(format!("{name}.gate_up"), &[d, 2 * hidden], Some(standard(d)), ratio),
            down: builder.push(
                format!("{name}.down"),
                &[hidden, d],
                Some(standard(hidden) * residual),
                ratio,
            ),
        };
        let mut blocks = Vec::new();
        for layer in 0..config.layers {
            let at = |name: &str| format!("blocks.{layer}.{name}");
            let norm1 = builder.push(at("norm1"), &[d], None, 1.0);
            let qkv = builder.push(at("attention.qkv"), &[d, 3 * d], Some(standard(d)), ratio);
            let out = builder.push(at("attention.out"), &[d, d], Some(standard(d) * residual), ratio);
            let norm2 = builder.push(at("norm2"), &[d], None, 1.0);
            let (dense, router, experts) = match &config.experts {
                None => (Some(swiglu(&mut builder, at("mlp"), config.hidden as usize)), 0..0, Vec::new()),
                Some(moe) => {
                    let hidden = moe.hidden as usize;
                    let router =
                        builder.push(at("router"), &[d, moe.count as usize], Some(standard(d)), ratio);
                    let experts =
                        (0..moe.count).map(|e| swiglu(&mut builder, at(&format!("experts.{e}")), hidden));
                    let experts = experts.collect();
                    let shared = (moe.shared > 0)
                        .then(|| swiglu(&mut builder, at("shared"), hidden * moe.shared as usize));
                    (shared, router, experts)
                }
            };
            blocks.push(Block { norm1, qkv, out, norm2, dense, router, experts });
        }
        let norm = builder.push("norm".into(), &[d], None, 1.0);
        let head = if config.tied {
            embedding.clone()
        } else {
            builder.push("head".into(), &[vocabulary, d], Some(standard(d)), 1.0)
        };
        // √h_base/h with h_base = h·ratio; the ratio of the standard parametrisation is 1.
        let attention_scale = (head_width as f64 * ratio).sqrt() / head_width as f64;
        Self { tensors: builder.tensors, embedding, blocks, norm, head, logit_scale: ratio, attention_scale }
    }

    /// Number of parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.tensors.last().map_or(0, |tensor| tensor.range.end)
    }

    /// Initial values: normal with each tensor's deviation, gains 1. Tensor i draws from stream i of the seed, so that a
    /// tensor's values do not depend on the tensors before it.
    #[must_use]
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let mut values = vec![1.0f32; self.parameters()];
        for (index, tensor) in self.tensors.iter().enumerate() {
            self.initial_tensor(index, seed, &mut values[tensor.range.clone()]);
        }
        values
    }

    /// Writes the initial values of tensor `index` alone, which are those of [`Layout::initial`], to `values`.
    ///
    /// # Panics
    /// When there is no such tensor or `values` is not as long as it.
    pub fn initial_tensor(&self, index: usize, seed: u64, values: &mut [f32]) {
        let tensor = &self.tensors[index];
        assert_eq!(values.len(), tensor.range.len(), "the values of {}", tensor.name);
        let Some(deviation) = tensor.deviation else { return values.fill(1.0) };
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        random.set_stream(index as u64);
        for pair in values.chunks_mut(2) {
            // Box and Muller: two uniform numbers make two normal ones.
            let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
            let angle = std::f64::consts::TAU * random.random::<f64>();
            for (value, part) in pair.iter_mut().zip([angle.cos(), angle.sin()]) {
                *value = (deviation * radius * part) as f32;
            }
        }
    }
}
