//! `config.json` of a Hugging Face model folder: what of it is computed here, and what is refused.
//!
//! Fields are read as `transformers` 5 reads them, with its defaults for each family and with the older spellings
//! (`rope_theta`, `rope_scaling`, `torch_dtype`). A field that would change the result and is not implemented is an
//! error with the field's name; fields that only matter to other programs are kept, and written back by `save`.

mod family;
mod fields;
mod rope;

use serde_json::{Map, Value};

pub use family::Family;
pub use fields::ConfigError;
use fields::Fields;
pub use rope::{Rope, RopeScaling};

/// What stands on top of the decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// The vocabulary (`…ForCausalLM`).
    Language {
        /// Whether the embedding serves as the head.
        tied: bool,
    },
    /// Scores (`…ForSequenceClassification`, `…ForTokenClassification`).
    Scores {
        /// A name for each score, in order.
        labels: Vec<String>,
        /// Whether the head must have a bias; a sequence classifier may have one.
        bias: bool,
    },
    /// Nothing (`…Model`): hidden states only.
    None,
}

/// What the model computes, in full.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the architecture")]
pub struct Config {
    /// The family, which decides names and defaults.
    pub family: Family,
    /// What stands on top.
    pub head: Head,
    /// Rows of the embedding: token ids are below this.
    pub vocabulary: usize,
    /// Size of a hidden state.
    pub hidden: usize,
    /// Size inside the feed-forward blocks.
    pub intermediate: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key/value heads; `heads` is a multiple.
    pub kv_heads: usize,
    /// Size of a head.
    pub head_size: usize,
    /// Added to the mean square in every norm.
    pub norm_epsilon: f64,
    /// The rotation.
    pub rope: Rope,
    /// The longest context the model was made for, in tokens. A longer input is computed all the same.
    pub max_positions: usize,
    /// Whether query, key and value projections have biases.
    pub qkv_bias: bool,
    /// Whether the output projection of attention has a bias.
    pub output_bias: bool,
    /// Whether the feed-forward projections have biases.
    pub mlp_bias: bool,
    /// Whether each head of queries and keys is normed.
    pub qk_norm: bool,
    /// For every layer, how many of the latest tokens attention sees; None for all.
    pub windows: Vec<Option<usize>>,
    /// The token that fills up batches, which a classifier in `transformers` looks past for the end of a text.
    pub pad_token: Option<u32>,
    /// Spread of freshly initialised weights.
    pub initializer_range: f64,
    raw: Map<String, Value>,
}

/// Fields that change what other models of these families' kind compute. Here they must be absent or have a value
/// under which they do nothing.
const REFUSED: [(&str, &str); 16] = [
    ("quantization_config", "weights must be f32, f16 or bf16; load the model before quantisation"),
    ("compression_config", "weights must be f32, f16 or bf16; load the model before compression"),
    ("attn_logit_softcapping", "attention scores are not capped here"),
    ("final_logit_softcapping", "logits are not capped here"),
    ("logit_scale", "logits are not scaled here"),
    ("logits_scaling", "logits are not scaled here"),
    ("embedding_multiplier", "embeddings are not scaled here"),
    ("residual_multiplier", "residuals are not scaled here"),
    ("attention_multiplier", "attention scores are scaled by 1/√head_dim"),
    ("query_pre_attn_scalar", "attention scores are scaled by 1/√head_dim"),
    ("attention_chunk_size", "attention in chunks is not implemented"),
    (
        "dual_chunk_attention_config",
        "attention in chunks is not implemented; remove the field for inputs of the plain context",
    ),
    ("num_experts", "mixtures of experts are not implemented"),
    ("num_local_experts", "mixtures of experts are not implemented"),
    ("no_rope_layers", "every layer is rotated"),
    ("per_layer_config", "all layers have the same sizes"),
];

/// Fields that are true or false and must be the value given here.
const FLAGS: [(&str, bool, &str); 6] = [
    ("add_cross_attention", false, "decoders alone are implemented"),
    ("is_encoder_decoder", false, "decoders alone are implemented"),
    ("use_bidirectional_attention", false, "attention is causal"),
    ("is_causal", true, "attention is causal"),
    ("use_mrope", false, "positions are those of text alone"),
    ("use_qk_norm", false, "qk-norm is a matter of the family (Qwen3)"),
];

impl Config {
    /// Reads the text of a `config.json`.
    pub fn parse(json: &str) -> Result<Self, ConfigError> {
        match serde_json::from_str(json) {
            Ok(Value::Object(raw)) => Self::from_map(raw),
            Ok(_) => Err(ConfigError::Json("it is another kind of value".to_owned())),
            Err(error) => Err(ConfigError::Json(error.to_string())),
        }
    }

    /// Reads a `config.json` that is already parsed.
    pub fn from_map(raw: Map<String, Value>) -> Result<Self, ConfigError> {
        let fields = Fields::new(&raw, "");
        refuse(fields)?;
        let (family, architecture) = family::identify(fields)?;
        let (hidden, heads) =
            (fields.required_count("hidden_size")?, fields.required_count("num_attention_heads")?);
        let kv_heads = match fields.count("num_key_value_heads")? {
            Some(kv_heads) => kv_heads,
            // Written out as null it means one for every head, left out it means the default.
            None if fields.has("num_key_value_heads") => heads,
            None => family.kv_heads(heads),
        };
        if heads % kv_heads != 0 {
            return Err(fields.invalid("num_key_value_heads", format!("a divisor of the {heads} heads")));
        }
        let head_size = match (fields.count("head_dim")?, family.head_size()) {
            (Some(size), _) | (None, Some(size)) => size,
            (None, None) if hidden % heads == 0 => hidden / heads,
            (None, None) => {
                return Err(fields
                    .invalid("hidden_size", format!("a multiple of the {heads} heads, or give `head_dim`")));
            }
        };
        if head_size % 2 != 0 {
            return Err(fields.invalid("head_dim", "even, since dimensions are rotated in pairs"));
        }
        let layers = fields.required_count("num_hidden_layers")?;
        if layers > 1024 {
            return Err(fields.invalid("num_hidden_layers", "at most 1024"));
        }
        let max_positions = fields.count("max_position_embeddings")?.unwrap_or(family.max_positions());
        let bias = family.biases(fields)?;
        Ok(Self {
            family,
            head: head(fields, architecture)?,
            vocabulary: fields.required_count("vocab_size")?,
            hidden,
            intermediate: fields.required_count("intermediate_size")?,
            heads,
            kv_heads,
            head_size,
            norm_epsilon: fields.positive("rms_norm_eps")?.unwrap_or(1e-6),
            rope: Rope::read(fields, max_positions)?,
            max_positions,
            qkv_bias: bias.qkv,
            output_bias: bias.output,
            mlp_bias: bias.mlp,
            qk_norm: family == Family::Qwen3,
            windows: family.windows(fields, layers)?,
            pad_token: pad_token(fields)?,
            initializer_range: fields.positive("initializer_range")?.unwrap_or(0.02),
            raw,
        })
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.windows.len()
    }

    /// The file's own fields, unknown ones included, in their order.
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }

    /// Names of the scores, empty without a head for them.
    pub fn labels(&self) -> &[String] {
        match &self.head {
            Head::Scores { labels, .. } => labels,
            _ => &[],
        }
    }

    /// The same model under a new head of scores, which turns a language model into a reward model.
    #[must_use]
    pub fn with_scores(mut self, labels: Vec<String>) -> Self {
        let class = Value::from(format!("{}ForSequenceClassification", self.family.class()));
        self.raw.insert("architectures".to_owned(), Value::Array(vec![class]));
        let numbered = |(index, label): (usize, &String)| (index.to_string(), Value::from(label.as_str()));
        self.raw
            .insert("id2label".to_owned(), Value::Object(labels.iter().enumerate().map(numbered).collect()));
        let turned = |(index, label): (usize, &String)| (label.clone(), Value::from(index));
        self.raw
            .insert("label2id".to_owned(), Value::Object(labels.iter().enumerate().map(turned).collect()));
        self.raw.shift_remove("num_labels");
        self.head = Head::Scores { labels, bias: false };
        self
    }

    /// Notes in the kept fields which type the weights are stored in.
    pub(crate) fn set_dtype(&mut self, dtype: &str) {
        let name = if self.raw.contains_key("torch_dtype") { "torch_dtype" } else { "dtype" };
        self.raw.insert(name.to_owned(), Value::from(dtype));
    }
}

fn refuse(fields: Fields<'_>) -> Result<(), ConfigError> {
    for (name, why) in REFUSED {
        let harmless = match fields.get(name) {
            None => true,
            // Multipliers of 1 and counts of 0 are how other exporters say "none".
            Some(value) => match (name.ends_with("experts"), value.as_f64()) {
                (true, Some(number)) => number == 0.0,
                (false, Some(number)) => {
                    number == 1.0 && !name.contains("chunk") && !name.contains("capping")
                }
                (_, None) => value.as_object().is_some_and(Map::is_empty) || value.as_bool() == Some(false),
            },
        };
        if !harmless {
            return Err(fields.unsupported(name, why));
        }
    }
    for (name, wanted, why) in FLAGS {
        if fields.get(name).is_some() && fields.flag(name)? != wanted {
            return Err(fields.unsupported(name, why));
        }
    }
    for name in ["hidden_act", "hidden_activation"] {
        if fields.text(name)?.is_some_and(|act| act != "silu" && act != "swish") {
            return Err(fields.unsupported(name, "silu is"));
        }
    }
    Ok(())
}

/// `pad_token_id`; -1 is an old way to say none.
fn pad_token(fields: Fields<'_>) -> Result<Option<u32>, ConfigError> {
    match fields.number("pad_token_id")? {
        None => Ok(None),
        Some(number) if number < 0.0 => Ok(None),
        Some(number) if number.fract() == 0.0 && number <= f64::from(u32::MAX) => Ok(Some(number as u32)),
        Some(_) => Err(fields.invalid("pad_token_id", "a token id or null")),
    }
}

fn head(fields: Fields<'_>, architecture: family::Architecture) -> Result<Head, ConfigError> {
    match architecture {
        family::Architecture::CausalLm => Ok(Head::Language { tied: fields.flag("tie_word_embeddings")? }),
        family::Architecture::Model => Ok(Head::None),
        family::Architecture::Sequence => Ok(Head::Scores { labels: labels(fields)?, bias: false }),
        family::Architecture::Token => Ok(Head::Scores { labels: labels(fields)?, bias: true }),
    }
}

/// The names of the scores: `id2label`, or `num_labels` numbered ones, or the two that `transformers` assumes.
fn labels(fields: Fields<'_>) -> Result<Vec<String>, ConfigError> {
    let numbered = |count: usize| (0..count).map(|index| format!("LABEL_{index}")).collect::<Vec<_>>();
    let count = fields.count("num_labels")?;
    if count.is_some_and(|count| count > 4096) {
        return Err(fields.invalid("num_labels", "at most 4096"));
    }
    let Some(map) = fields.object("id2label")?.filter(|map| !map.is_empty()) else {
        return Ok(numbered(count.unwrap_or(2)));
    };
    let mut labels = numbered(map.len());
    for (index, label) in map {
        let place = index.parse::<usize>().ok().and_then(|index| labels.get_mut(index));
        match (place, label) {
            (Some(place), Value::String(label)) => place.clone_from(label),
            // Some exporters number their labels by themselves.
            (Some(place), Value::Number(label)) => *place = label.to_string(),
            _ => return Err(fields.invalid("id2label", "an object from 0, 1, … to names")),
        }
    }
    if count.is_some_and(|count| count != labels.len()) {
        return Err(
            fields.invalid("num_labels", format!("{}, the number of names in `id2label`", labels.len()))
        );
    }
    Ok(labels)
}

#[cfg(test)]
mod tests;
