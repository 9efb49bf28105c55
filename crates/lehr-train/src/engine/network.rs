//! One forward and backward pass of a micro-batch, with every buffer allocated beforehand.
//!
//! ```text
//! h = E[token]
//! block:  h ← h + A(norm(h))·W_o          A: rotary causal attention over q, k, v = norm(h)·W_qkv
//!         h ← h + F(norm(h))              F: SwiGLU, or routed experts (+ shared experts)
//! logits = norm(h)·Wᵀ
//! ```
//! M is the number of tokens of a micro-batch: whole sequences, as many as make it worth a matrix product.

use super::attention::{self, Heads};
use super::experts::{self, Auxiliary, Routed, Routing, Scratch};
use super::head::{self, Head};
use super::kernel::{add, norm, norm_backward, rotary_table, rotate, swiglu, swiglu_backward};
use super::layout::{Block, Layout, SwiGlu};
use super::matmul::{Into, View, ViewMut, matmul};
use super::real::Real;
use crate::config::ModelConfig;

/// Tokens of a micro-batch that are aimed at: activations stay in the cache, products stay efficient.
const MICRO_TOKENS: usize = 512;

/// Everything about a model that does not change during training.
#[derive(Debug)]
pub struct Network<R> {
    layout: Layout,
    width: usize,
    vocabulary: usize,
    epsilon: R,
    heads: Heads,
    routing: Option<Routing>,
    cosine: Vec<R>,
    sine: Vec<R>,
}

/// What a block keeps between forward and backward.
#[derive(Debug, Clone)]
struct Kept<R> {
    /// Residual stream at the block's beginning, M × d.
    input: Vec<R>,
    inverse1: Vec<R>,
    normed1: Vec<R>,
    /// M × 3d, rotated.
    qkv: Vec<R>,
    /// Sequences × H × T × T.
    probability: Vec<R>,
    /// M × d.
    attention: Vec<R>,
    /// Residual stream between the halves, M × d.
    middle: Vec<R>,
    inverse2: Vec<R>,
    normed2: Vec<R>,
    /// Dense SwiGLU or shared experts: M × 2f and M × f.
    gate_up: Vec<R>,
    inner: Vec<R>,
    routed: Option<Routed<R>>,
}

/// The buffers of one lane.
#[derive(Debug, Clone)]
pub struct Workspace<R> {
    kept: Vec<Kept<R>>,
    /// Residual stream, M × d; then its gradient.
    stream: Vec<R>,
    normed: Vec<R>,
    inverse: Vec<R>,
    logits: Vec<R>,
    /// M × d.
    dwide: Vec<R>,
    /// M × max(3d, f).
    dinner: Vec<R>,
    /// 64 × T.
    scores: Vec<R>,
    inputs: Vec<u32>,
    targets: Vec<u32>,
    scratch: Option<Scratch<R>>,
    /// Sequences of a micro-batch.
    sequences: usize,
}

/// What a pass over some sequences adds up to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sums {
    /// Σ of cross-entropies, nats.
    pub loss: f64,
    /// Σ over layers of the auxiliary sums.
    pub auxiliary: Auxiliary,
}

impl<R: Real> Network<R> {
    /// The network of a checked configuration.
    #[must_use]
    pub fn new(config: &ModelConfig) -> Self {
        let layout = Layout::new(config);
        let width = config.width as usize;
        let context = config.context as usize;
        let head = (config.width / config.heads) as usize;
        let heads = Heads { context, heads: config.heads as usize, head, scale: layout.attention_scale };
        let routing = config.experts.as_ref().map(|moe| Routing {
            experts: moe.count as usize,
            top_k: moe.top_k as usize,
            hidden: moe.hidden as usize,
            width,
            context,
            balance: moe.balance,
            z: moe.z,
        });
        let (cosine, sine) = rotary_table(context, head, config.rope_theta);
        let epsilon = R::of(config.norm_epsilon);
        Self { layout, width, vocabulary: config.vocabulary as usize, epsilon, heads, routing, cosine, sine }
    }

    /// Where the tensors lie.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Buffers for passes over at most `rows` sequences at a call.
    #[must_use]
    pub fn workspace(&self, rows: usize) -> Workspace<R> {
        let (context, d) = (self.heads.context, self.width);
        let sequences = (MICRO_TOKENS / context).clamp(1, rows.max(1));
        let tokens = sequences * context;
        let zeros = |n: usize| vec![R::ZERO; n];
        let dense = |block: &Block| block.dense.as_ref().map_or(0, |part| part.hidden);
        let kept = self.layout.blocks.iter().map(|block| Kept {
            input: zeros(tokens * d),
            inverse1: zeros(tokens),
            normed1: zeros(tokens * d),
            qkv: zeros(tokens * 3 * d),
            probability: zeros(sequences * self.heads.heads * context * context),
            attention: zeros(tokens * d),
            middle: zeros(tokens * d),
            inverse2: zeros(tokens),
            normed2: zeros(tokens * d),
            gate_up: zeros(tokens * 2 * dense(block)),
            inner: zeros(tokens * dense(block)),
            routed: self.routing.map(|routing| Routed::new(routing, tokens)),
        });
        let inner = self.layout.blocks.iter().map(dense).max().unwrap_or(0).max(3 * d);
        Workspace {
            kept: kept.collect(),
            stream: zeros(tokens * d),
            normed: zeros(tokens * d),
            inverse: zeros(tokens),
            logits: zeros(head::rows_at_once(self.vocabulary, tokens) * self.vocabulary),
            dwide: zeros(tokens * d),
            dinner: zeros(tokens * inner),
            scores: zeros(64 * context),
            inputs: vec![0; tokens],
            targets: vec![0; tokens],
            scratch: self.routing.map(|routing| Scratch::new(routing, tokens)),
            sequences,
        }
    }

    /// Number of different tokens.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Forward over `rows` (each T + 1 tokens); with `gradient`, backward, too, adding the gradient of
    /// share·(Σ loss) + auxiliary losses. `count(layer, expert, tokens)` is told how many tokens each expert got.
    pub fn pass(
        &self,
        parameters: &[R],
        rows: &[u32],
        workspace: &mut Workspace<R>,
        mut gradient: Option<(f64, &mut [R])>,
        count: &mut dyn FnMut(usize, usize, u64),
    ) -> Sums {
        let mut sums = Sums::default();
        let context = self.heads.context;
        for rows in rows.chunks(workspace.sequences * (context + 1)) {
            let tokens = rows.len() / (context + 1) * context;
            for (i, row) in rows.chunks_exact(context + 1).enumerate() {
                workspace.inputs[i * context..][..context].copy_from_slice(&row[..context]);
                workspace.targets[i * context..][..context].copy_from_slice(&row[1..]);
            }
            self.forward(parameters, tokens, workspace, &mut sums.auxiliary);
            for (layer, kept) in workspace.kept.iter().enumerate() {
                for (expert, tokens) in kept.routed.iter().flat_map(Routed::counts).enumerate() {
                    count(layer, expert, tokens);
                }
            }
            let head = Head {
                vocabulary: self.vocabulary,
                width: self.width,
                weights: &parameters[self.layout.head.clone()],
                scale: self.layout.logit_scale,
            };
            let targets = &workspace.targets[..tokens];
            let states = &workspace.normed[..tokens * self.width];
            match &mut gradient {
                None => sums.loss += head::loss(head, states, targets, &mut workspace.logits, None),
                Some((share, gradient)) => {
                    let dstates = &mut workspace.dwide[..tokens * self.width];
                    let dhead = &mut gradient[self.layout.head.clone()];
                    let outputs = Some((*share, dstates, dhead));
                    sums.loss += head::loss(head, states, targets, &mut workspace.logits, outputs);
                    self.backward(parameters, tokens, workspace, gradient, *share);
                }
            }
        }
        sums
    }

    fn forward(
        &self,
        parameters: &[R],
        tokens: usize,
        workspace: &mut Workspace<R>,
        auxiliary: &mut Auxiliary,
    ) {
        let d = self.width;
        let size = tokens * d;
        let embedding = &parameters[self.layout.embedding.clone()];
        for (row, &token) in workspace.stream.chunks_exact_mut(d).zip(&workspace.inputs[..tokens]) {
            row.copy_from_slice(&embedding[token as usize * d..][..d]);
        }
        let stream = &mut workspace.stream[..size];
        for (block, kept) in self.layout.blocks.iter().zip(&mut workspace.kept) {
            kept.input[..size].copy_from_slice(stream);
            let normed = &mut kept.normed1[..size];
            norm(stream, &parameters[block.norm1.clone()], self.epsilon, normed, &mut kept.inverse1);
            let weights = View::new(&parameters[block.qkv.clone()], d, 3 * d);
            let qkv = &mut kept.qkv[..3 * size];
            matmul(
                ViewMut::new(qkv, tokens, 3 * d),
                Into::Replace,
                R::ONE,
                View::new(normed, tokens, d),
                weights,
            );
            let Heads { heads, head, .. } = self.heads;
            rotate(qkv, 3 * d, 2 * heads, head, (&self.cosine, &self.sine), false);
            let attended = &mut kept.attention[..size];
            attention::forward(self.heads, qkv, &mut kept.probability, attended);
            let weights = View::new(&parameters[block.out.clone()], d, d);
            matmul(
                ViewMut::new(stream, tokens, d),
                Into::Add,
                R::ONE,
                View::new(attended, tokens, d),
                weights,
            );

            kept.middle[..size].copy_from_slice(stream);
            let normed = &mut kept.normed2[..size];
            norm(stream, &parameters[block.norm2.clone()], self.epsilon, normed, &mut kept.inverse2);
            if let Some(part) = &block.dense {
                let f = part.hidden;
                let weights = View::new(&parameters[part.gate_up.clone()], d, 2 * f);
                let gate_up = &mut kept.gate_up[..tokens * 2 * f];
                let x = View::new(normed, tokens, d);
                matmul(ViewMut::new(gate_up, tokens, 2 * f), Into::Replace, R::ONE, x, weights);
                let inner = &mut kept.inner[..tokens * f];
                swiglu(gate_up, f, inner);
                let weights = View::new(&parameters[part.down.clone()], f, d);
                matmul(
                    ViewMut::new(stream, tokens, d),
                    Into::Add,
                    R::ONE,
                    View::new(inner, tokens, f),
                    weights,
                );
            }
            if let (Some(routing), Some(routed), Some(scratch)) =
                (self.routing, &mut kept.routed, &mut workspace.scratch)
            {
                let sums = experts::forward(routing, block, parameters, normed, stream, routed, scratch);
                auxiliary.balance += sums.balance;
                auxiliary.z += sums.z;
            }
        }
        let normed = &mut workspace.normed[..size];
        norm(stream, &parameters[self.layout.norm.clone()], self.epsilon, normed, &mut workspace.inverse);
    }

    /// Expects the gradient of the normed states in `dwide`.
    fn backward(
        &self,
        parameters: &[R],
        tokens: usize,
        workspace: &mut Workspace<R>,
        gradient: &mut [R],
        share: f64,
    ) {
        let d = self.width;
        let size = tokens * d;
        let Workspace { kept, stream, normed, inverse, dwide, dinner, scores, inputs, scratch, .. } =
            workspace;
        let dwide = &mut dwide[..size];
        // `normed` is free from here on and becomes the gradient of the residual stream.
        let dstream = &mut normed[..size];
        dstream.fill(R::ZERO);
        let stream = &stream[..size];
        let gains = &parameters[self.layout.norm.clone()];
        norm_backward(
            stream,
            gains,
            &inverse[..tokens],
            dwide,
            dstream,
            &mut gradient[self.layout.norm.clone()],
        );
        for (block, kept) in self.layout.blocks.iter().zip(kept).rev() {
            dwide.fill(R::ZERO);
            if let Some(part) = &block.dense {
                self.dense_backward(part, parameters, tokens, kept, dstream, dwide, dinner, gradient);
            }
            if let (Some(routing), Some(routed), Some(scratch)) =
                (self.routing, &mut kept.routed, &mut *scratch)
            {
                let states = (&kept.normed2[..size], &*dstream);
                experts::backward(
                    routing, block, parameters, states, dwide, gradient, share, routed, scratch,
                );
            }
            let gains = &parameters[block.norm2.clone()];
            let dgains = &mut gradient[block.norm2.clone()];
            norm_backward(&kept.middle[..size], gains, &kept.inverse2[..tokens], dwide, dstream, dgains);

            let weights = View::new(&parameters[block.out.clone()], d, d);
            let dout = View::new(dstream, tokens, d);
            matmul(ViewMut::new(dwide, tokens, d), Into::Replace, R::ONE, dout, weights.t());
            let attended = &kept.attention[..size];
            let dweights = ViewMut::new(&mut gradient[block.out.clone()], d, d);
            matmul(dweights, Into::Add, R::ONE, View::new(attended, tokens, d).t(), dout);
            let dqkv = &mut dinner[..3 * size];
            attention::backward(
                self.heads,
                &kept.qkv[..3 * size],
                &kept.probability,
                attended,
                dwide,
                dqkv,
                scores,
            );
            let Heads { heads, head, .. } = self.heads;
            rotate(dqkv, 3 * d, 2 * heads, head, (&self.cosine, &self.sine), true);
            let dqkv = View::new(dqkv, tokens, 3 * d);
            let x = View::new(&kept.normed1[..size], tokens, d);
            let dweights = ViewMut::new(&mut gradient[block.qkv.clone()], d, 3 * d);
            matmul(dweights, Into::Add, R::ONE, x.t(), dqkv);
            let weights = View::new(&parameters[block.qkv.clone()], d, 3 * d);
            matmul(ViewMut::new(dwide, tokens, d), Into::Replace, R::ONE, dqkv, weights.t());
            let gains = &parameters[block.norm1.clone()];
            let dgains = &mut gradient[block.norm1.clone()];
            norm_backward(&kept.input[..size], gains, &kept.inverse1[..tokens], dwide, dstream, dgains);
        }
        let dembedding = &mut gradient[self.layout.embedding.clone()];
        for (row, &token) in dstream.chunks_exact(d).zip(&inputs[..tokens]) {
            add(&mut dembedding[token as usize * d..][..d], row);
        }
    }

    /// Gradients of a dense SwiGLU (or the shared experts); its input's gradient is written to `dx`.
    fn dense_backward(
        &self,
        part: &SwiGlu,
        parameters: &[R],
        tokens: usize,
        kept: &mut Kept<R>,
        dstream: &[R],
        dx: &mut [R],
        dinner: &mut [R],
        gradient: &mut [R],
    ) {
        let (d, f) = (self.width, part.hidden);
        let dinner = &mut dinner[..tokens * f];
        let dout = View::new(dstream, tokens, d);
        let weights = View::new(&parameters[part.down.clone()], f, d);
        matmul(ViewMut::new(dinner, tokens, f), Into::Replace, R::ONE, dout, weights.t());
        let inner = View::new(&kept.inner[..tokens * f], tokens, f);
        matmul(ViewMut::new(&mut gradient[part.down.clone()], f, d), Into::Add, R::ONE, inner.t(), dout);
        let gate_up = &mut kept.gate_up[..tokens * 2 * f];
        swiglu_backward(gate_up, f, dinner);
        let dgate_up = View::new(gate_up, tokens, 2 * f);
        let x = View::new(&kept.normed2[..tokens * d], tokens, d);
        matmul(
            ViewMut::new(&mut gradient[part.gate_up.clone()], d, 2 * f),
            Into::Add,
            R::ONE,
            x.t(),
            dgate_up,
        );
        let weights = View::new(&parameters[part.gate_up.clone()], d, 2 * f);
        matmul(ViewMut::new(dx, tokens, d), Into::Replace, R::ONE, dgate_up, weights.t());
    }
}
