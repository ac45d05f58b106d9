//! One layer: attention and a gated feed-forward block, each after a norm and added to its input.

use std::sync::Arc;

use burn::{
    module::Module,
    tensor::{Int, Tensor},
};
use kernels::Layout;

use super::{Adapter, Norm, Projection, single};
use crate::{
    config::Config,
    ops::{self, AttentionOptions},
    weights::Source,
};

/// What all layers of a forward pass share.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    pub(crate) layout: &'a Arc<Layout>,
    /// `[T, D/2]`
    pub(crate) cos: Tensor<2>,
    /// `[T, D/2]`
    pub(crate) sin: Tensor<2>,
    /// Of the last layer's results, those that are read; None for all.
    pub(crate) rows: Option<Rows>,
}

/// Some of the query rows of a pass.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    /// Their places among all.
    pub(crate) places: Tensor<1, Int>,
    /// What they see.
    pub(crate) layout: Arc<Layout>,
}

impl Rows {
    /// Those of `x` that are read.
    pub(crate) fn of(rows: Option<&Self>, x: Tensor<2>) -> Tensor<2> {
        match rows {
            Some(rows) => x.select(0, rows.places.clone()),
            None => x,
        }
    }
}

#[derive(Module, Debug)]
pub(crate) struct Layer {
    input_layernorm: Norm,
    self_attn: Attention,
    post_attention_layernorm: Norm,
    mlp: Mlp,
}

#[derive(Module, Debug)]
struct Attention {
    q_proj: Projection,
    k_proj: Projection,
    v_proj: Projection,
    o_proj: Projection,
    q_norm: Option<Norm>,
    k_norm: Option<Norm>,
}

#[derive(Module, Debug)]
#[expect(clippy::struct_field_names, reason = "the names are those of checkpoints")]
struct Mlp {
    gate_proj: Projection,
    up_proj: Projection,
    down_proj: Projection,
}

impl Layer {
    pub(super) fn read<S: Source>(source: &mut S, config: &Config, name: &str) -> Self {
        let Config { hidden, intermediate, head_size, .. } = *config;
        let (queries, keys) = (config.heads * head_size, config.kv_heads * head_size);
        let input_layernorm = Norm::read(source, &format!("{name}.input_layernorm"), hidden);
        let attention = format!("{name}.self_attn");
        let self_attn = {
            let mut projection = |part: &str, shape, bias| {
                Projection::read(source, &format!("{attention}.{part}_proj"), shape, bias)
            };
            Attention {
                q_proj: projection("q", [queries, hidden], config.qkv_bias),
                k_proj: projection("k", [keys, hidden], config.qkv_bias),
                v_proj: projection("v", [keys, hidden], config.qkv_bias),
                o_proj: projection("o", [hidden, queries], config.output_bias),
                q_norm: config.qk_norm.then(|| Norm::read(source, &format!("{attention}.q_norm"), head_size)),
                k_norm: config.qk_norm.then(|| Norm::read(source, &format!("{attention}.k_norm"), head_size)),
            }
        };
        let post_attention_layernorm =
            Norm::read(source, &format!("{name}.post_attention_layernorm"), hidden);
        let mut projection = |part: &str, shape| {
            Projection::read(source, &format!("{name}.mlp.{part}_proj"), shape, config.mlp_bias)
        };
        let mlp = Mlp {
            gate_proj: projection("gate", [intermediate, hidden]),
            up_proj: projection("up", [intermediate, hidden]),
            down_proj: projection("down", [hidden, intermediate]),
        };
        Self { input_layernorm, self_attn, post_attention_layernorm, mlp }
    }

    /// The projections, by their names within the layer.
    pub(crate) fn projections(&mut self) -> [(&'static str, &mut Projection); 7] {
        let Self { self_attn, mlp, .. } = self;
        [
            ("self_attn.q_proj", &mut self_attn.q_proj),
            ("self_attn.k_proj", &mut self_attn.k_proj),
            ("self_attn.v_proj", &mut self_attn.v_proj),
            ("self_attn.o_proj", &mut self_attn.o_proj),
            ("mlp.gate_proj", &mut mlp.gate_proj),
            ("mlp.up_proj", &mut mlp.up_proj),
            ("mlp.down_proj", &mut mlp.down_proj),
        ]
    }

    /// The adapters, by the names of their projections within the layer.
    pub(crate) fn adapters(&self) -> Vec<(&'static str, &Adapter)> {
        let Self { self_attn, mlp, .. } = self;
        let all = [
            ("self_attn.q_proj", &self_attn.q_proj),
            ("self_attn.k_proj", &self_attn.k_proj),
            ("self_attn.v_proj", &self_attn.v_proj),
            ("self_attn.o_proj", &self_attn.o_proj),
            ("mlp.gate_proj", &mlp.gate_proj),
            ("mlp.up_proj", &mlp.up_proj),
            ("mlp.down_proj", &mlp.down_proj),
        ];
        all.into_iter()
            .filter_map(|(name, part)| part.adapter.as_ref().map(|adapter| (name, adapter)))
            .collect()
    }

    /// x `[T, hidden]`; `keep` is given the new keys and values and returns those that attention is to see. With
    /// `rows`, the result has those alone.
    pub(crate) fn forward(
        &self,
        x: Tensor<2>,
        config: &Config,
        pass: &Pass<'_>,
        window: Option<usize>,
        rows: Option<&Rows>,
        keep: impl FnOnce(Tensor<3>, Tensor<3>) -> (Tensor<3>, Tensor<3>),
    ) -> Tensor<2> {
        let epsilon = config.norm_epsilon;
        let normed = self.input_layernorm.forward(x.clone(), epsilon);
        let mixed = self.self_attn.forward(normed, config, pass, window, rows, keep);
        let x = Rows::of(rows, x) + mixed;
        let normed = self.post_attention_layernorm.forward(x.clone(), epsilon);
        x + self.mlp.forward(normed)
    }
}

impl Attention {
    fn forward(
        &self,
        x: Tensor<2>,
        config: &Config,
        pass: &Pass<'_>,
        window: Option<usize>,
        rows: Option<&Rows>,
        keep: impl FnOnce(Tensor<3>, Tensor<3>) -> (Tensor<3>, Tensor<3>),
    ) -> Tensor<2> {
        let size = config.head_size;
        let split = |x: Tensor<2>, heads| {
            let [tokens, _] = x.dims();
            x.reshape([tokens, heads, size])
        };
        let mut q = split(self.q_proj.forward(Rows::of(rows, x.clone())), config.heads);
        let mut k = split(self.k_proj.forward(x.clone()), config.kv_heads);
        let v = split(self.v_proj.forward(x), config.kv_heads);
        if let (Some(q_norm), Some(k_norm)) = (&self.q_norm, &self.k_norm) {
            q = q_norm.forward(q, config.norm_epsilon);
            k = k_norm.forward(k, config.norm_epsilon);
        }
        let dtype = v.dtype();
        let (cos, sin) = (Rows::of(rows, pass.cos.clone()), Rows::of(rows, pass.sin.clone()));
        let q = ops::rope(single(q), cos, sin);
        let k = ops::rope(single(k), pass.cos.clone(), pass.sin.clone());
        let (k, v) = keep(k.cast(dtype), v);
        let options = AttentionOptions { scale: 1.0 / (size as f32).sqrt(), window };
        let layout = rows.map_or(pass.layout, |rows| &rows.layout);
        let mixed = ops::attention(&q, &single(k), &single(v), layout, options).cast(dtype);
        let [tokens, ..] = mixed.dims();
        self.o_proj.forward(mixed.reshape([tokens, config.heads * size]))
    }
}

impl Mlp {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let (gate, up) = (self.gate_proj.forward(x.clone()), self.up_proj.forward(x));
        self.down_proj.forward(ops::swiglu(gate, up))
    }
}
