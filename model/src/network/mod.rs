//! The decoder: parameters under the names of Hugging Face checkpoints, and the forward pass over packed tokens.

mod adapter;
mod angles;
mod cache;
mod layer;
mod names;

use burn::{
    module::{Module, Param},
    tensor::{DType, Int, Tensor},
};

pub use adapter::Adapter;
pub(crate) use adapter::Dropout;
pub(crate) use angles::Angles;
pub use cache::KvCache;
pub(crate) use layer::Layer;
pub(crate) use layer::{Pass, Rows};
pub(crate) use names::ParameterMapper;
pub use names::ParameterVisitor;

use crate::{
    config::{Config, Head},
    ops,
    weights::Source,
};

/// In single precision, which norms, rotations and attention are always computed in.
pub(crate) fn single<const N: usize>(x: Tensor<N>) -> Tensor<N> {
    x.cast(DType::F32)
}

/// A matrix `[out, in]` as checkpoints have it, and perhaps a bias.
#[derive(Module, Debug)]
pub struct Projection {
    /// `[out, in]`
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Option<Param<Tensor<1>>>,
    /// What is trained in place of the matrix, if the model has adapters.
    pub adapter: Option<Adapter>,
}

impl Projection {
    fn read<S: Source>(source: &mut S, name: &str, shape: [usize; 2], bias: bool) -> Self {
        Self {
            weight: Param::from_tensor(source.tensor(&format!("{name}.weight"), shape)),
            bias: bias.then(|| Param::from_tensor(source.tensor(&format!("{name}.bias"), [shape[0]]))),
            adapter: None,
        }
    }

    /// x `[T, in]` → `[T, out]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let bias = self.bias.as_ref().map(Param::val);
        match &self.adapter {
            None => ops::linear(x, self.weight.val(), bias),
            Some(adapter) => ops::linear(x.clone(), self.weight.val(), bias) + adapter.forward(x),
        }
    }
}

/// The weight of a root-mean-square norm.
#[derive(Module, Debug)]
pub struct Norm {
    /// `[size]`
    pub weight: Param<Tensor<1>>,
}

impl Norm {
    fn read<S: Source>(source: &mut S, name: &str, size: usize) -> Self {
        Self { weight: Param::from_tensor(source.tensor(&format!("{name}.weight"), [size])) }
    }

    pub(crate) fn forward<const N: usize>(&self, x: Tensor<N>, epsilon: f64) -> Tensor<N> {
        let dtype = x.dtype();
        ops::rms_norm(single(x), single(self.weight.val()), epsilon).cast(dtype)
    }
}

/// The embedding of tokens.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[vocabulary, hidden]`
    pub weight: Param<Tensor<2>>,
}

/// Embedding, layers and final norm.
#[derive(Module, Debug)]
pub struct Decoder {
    /// The embedding of tokens.
    pub embed_tokens: Embedding,
    pub(crate) layers: Vec<Layer>,
    /// The norm after the last layer.
    pub norm: Norm,
}

/// Every parameter of a model. The path of a parameter in this module is its name in a checkpoint, but for the
/// `model.` that checkpoints of bare decoders leave out.
#[derive(Module, Debug)]
pub struct Network {
    /// The decoder.
    pub model: Decoder,
    /// The head over the vocabulary, unless the embedding serves as one or there is none.
    pub lm_head: Option<Projection>,
    /// The head of scores.
    pub score: Option<Projection>,
}

impl Network {
    /// Takes every parameter from `source`. `prefix` comes before the names of the decoder's parameters.
    pub(crate) fn read<S: Source>(source: &mut S, config: &Config, prefix: &str) -> Self {
        let hidden = config.hidden;
        // A tied model may be stored under the name of its head alone.
        let embedding = format!("{prefix}embed_tokens.weight");
        let tied = config.head == Head::Language { tied: true };
        let renamed = tied && !source.has(&embedding) && source.has("lm_head.weight");
        let embedding = if renamed { "lm_head.weight" } else { &embedding };
        let embed_tokens =
            Embedding { weight: Param::from_tensor(source.tensor(embedding, [config.vocabulary, hidden])) };
        let layers = (0..config.layers())
            .map(|index| Layer::read(source, config, &format!("{prefix}layers.{index}")))
            .collect();
        let norm = Norm::read(source, &format!("{prefix}norm"), hidden);
        let (mut lm_head, mut score) = (None, None);
        match &config.head {
            Head::Language { tied: false } => {
                lm_head = Some(Projection::read(source, "lm_head", [config.vocabulary, hidden], false));
            }
            // Both are stored: they are one matrix only if they are equal, which the caller finds out.
            Head::Language { tied: true } if source.has("lm_head.weight") && !renamed => {
                lm_head = Some(Projection::read(source, "lm_head", [config.vocabulary, hidden], false));
            }
            Head::Language { tied: true } | Head::None => {}
            Head::Scores { labels, bias } => {
                let bias = *bias || source.has("score.bias");
                score = Some(Projection::read(source, "score", [labels.len(), hidden], bias));
            }
        }
        Self { model: Decoder { embed_tokens, layers, norm }, lm_head, score }
    }

    /// Drops a stored head that is only a copy of the embedding it is tied to. One that differs stays, and is used:
    /// so does `transformers`.
    pub(crate) fn tie(&mut self) {
        let Some(head) = &self.lm_head else { return };
        let same = head.weight.val().equal(self.model.embed_tokens.weight.val()).all();
        if same.into_data().iter::<bool>().all(|same| same) {
            self.lm_head = None;
        } else {
            tracing::warn!(
                "tie_word_embeddings is set, but lm_head.weight is stored and differs; it is not tied"
            );
        }
    }

    /// Replaces the head by one of scores.
    pub(crate) fn add_scores<S: Source>(&mut self, source: &mut S, config: &Config) {
        self.lm_head = None;
        self.score = Some(Projection::read(source, "score", [config.labels().len(), config.hidden], false));
    }

    /// Hidden states after the final norm, `[T, hidden]`. `keep` is given each layer's index, new keys and values
    /// `[T, K, D]`, and returns those that attention is to see. If the pass names rows, the result has those alone, and
    /// the last layer computes only what they need.
    pub(crate) fn hidden(
        &self,
        config: &Config,
        tokens: Tensor<1, Int>,
        pass: &Pass<'_>,
        mut keep: impl FnMut(usize, Tensor<3>, Tensor<3>) -> (Tensor<3>, Tensor<3>),
    ) -> Tensor<2> {
        let mut x = self.model.embed_tokens.weight.val().select(0, tokens);
        let last = self.model.layers.len() - 1;
        for (index, layer) in self.model.layers.iter().enumerate() {
            let rows = pass.rows.as_ref().filter(|_| index == last);
            x = layer.forward(x, config, pass, config.windows[index], rows, |k, v| keep(index, k, v));
        }
        self.model.norm.forward(x, config.norm_epsilon)
    }
}
