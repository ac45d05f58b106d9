//! What differs between the families of models.

use super::fields::{ConfigError, Fields};

/// A family of decoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Qwen2, Qwen2.5, Qwen2.5-Coder: biases on query, key and value.
    Qwen2,
    /// Qwen3 (dense): a norm on each head of queries and keys.
    Qwen3,
    /// Llama 2 and 3.
    Llama,
    /// Mistral: Llama with a sliding window on every layer.
    Mistral,
}

/// What an entry of `architectures` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Architecture {
    CausalLm,
    Sequence,
    Token,
    Model,
}

/// Which projections have biases.
#[derive(Debug, Clone, Copy)]
pub(super) struct Biases {
    pub(super) qkv: bool,
    pub(super) output: bool,
    pub(super) mlp: bool,
}

const SUPPORTED: &str = "Qwen2, Qwen3, Llama and Mistral …ForCausalLM, …ForSequenceClassification, \
                         …ForTokenClassification and …Model are";

impl Family {
    const ALL: [Self; 4] = [Self::Qwen2, Self::Qwen3, Self::Llama, Self::Mistral];

    /// As `transformers` begins the names of its classes.
    pub fn class(self) -> &'static str {
        match self {
            Self::Qwen2 => "Qwen2",
            Self::Qwen3 => "Qwen3",
            Self::Llama => "Llama",
            Self::Mistral => "Mistral",
        }
    }

    /// `model_type` in `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Llama => "llama",
            Self::Mistral => "mistral",
        }
    }

    // The defaults of `transformers` for fields that a file may leave out.

    pub(super) fn kv_heads(self, heads: usize) -> usize {
        match self {
            Self::Qwen2 | Self::Qwen3 => 32.min(heads),
            Self::Llama => heads,
            Self::Mistral => 8.min(heads),
        }
    }

    pub(super) fn head_size(self) -> Option<usize> {
        (self == Self::Qwen3).then_some(128)
    }

    pub(super) fn max_positions(self) -> usize {
        match self {
            Self::Qwen2 | Self::Qwen3 => 32_768,
            Self::Llama => 2048,
            Self::Mistral => 131_072,
        }
    }

    pub(super) fn biases(self, fields: Fields<'_>) -> Result<Biases, ConfigError> {
        let (attention, mlp) = (fields.flag("attention_bias")?, fields.flag("mlp_bias")?);
        if mlp && self != Self::Llama {
            return Err(fields.unsupported("mlp_bias", "only the Llama family has it"));
        }
        match self {
            // The field does not exist there; what it would mean is unclear unless it says what is so anyway.
            Self::Qwen2 => Ok(Biases { qkv: true, output: false, mlp: false }),
            Self::Qwen3 | Self::Llama => Ok(Biases { qkv: attention, output: attention, mlp }),
            Self::Mistral if attention => Err(fields.unsupported("attention_bias", "Mistral has no biases")),
            Self::Mistral => Ok(Biases { qkv: false, output: false, mlp: false }),
        }
    }

    /// The window of every layer.
    pub(super) fn windows(
        self,
        fields: Fields<'_>,
        layers: usize,
    ) -> Result<Vec<Option<usize>>, ConfigError> {
        let window = match self {
            Self::Qwen2 | Self::Qwen3 if fields.flag("use_sliding_window")? => {
                match fields.get("sliding_window") {
                    Some(_) => fields.count("sliding_window")?,
                    // Written out as null it means none, left out it means the default.
                    None => (!fields.has("sliding_window")).then_some(4096),
                }
            }
            Self::Llama if fields.get("sliding_window").is_some() => {
                return Err(fields.unsupported("sliding_window", "Llama has no window; Mistral has"));
            }
            Self::Qwen2 | Self::Qwen3 | Self::Llama => None,
            Self::Mistral => match fields.count("sliding_window")? {
                None if !fields.has("sliding_window") => Some(4096),
                window => window,
            },
        };
        let Some(types) = fields.texts("layer_types")? else {
            // Qwen: the layers from `max_window_layers` on have the window.
            let first = match self {
                Self::Qwen2 | Self::Qwen3 => first_window(fields)?,
                Self::Llama | Self::Mistral => 0,
            };
            return Ok((0..layers).map(|layer| window.filter(|_| layer >= first)).collect());
        };
        if types.len() != layers {
            return Err(fields.invalid("layer_types", format!("a list of {layers} entries, one a layer")));
        }
        let windows =
            types.iter().map(|kind| match (*kind, window) {
                ("full_attention", None) => Ok(None),
                ("full_attention", Some(_)) if self != Self::Mistral => Ok(None),
                ("full_attention", Some(_)) => {
                    Err(fields.unsupported("layer_types", "Mistral's `sliding_window` holds for every layer"))
                }
                ("sliding_attention", Some(window)) => Ok(Some(window)),
                ("sliding_attention", None) => Err(fields
                    .invalid("layer_types", "without sliding_attention, since no sliding window is in use")),
                _ => Err(fields.unsupported("layer_types", "full_attention and sliding_attention are")),
            });
        windows.collect()
    }
}

/// The first of Qwen's layers that has the window.
fn first_window(fields: Fields<'_>) -> Result<usize, ConfigError> {
    match fields.get("max_window_layers") {
        // Zero is a count here: every layer has the window.
        Some(value) if value.as_u64() == Some(0) => Ok(0),
        _ => Ok(fields.count("max_window_layers")?.unwrap_or(28)),
    }
}

/// The family and the head, from `model_type` and `architectures`.
pub(super) fn identify(fields: Fields<'_>) -> Result<(Family, Architecture), ConfigError> {
    let by_type = match fields.text("model_type")? {
        None => None,
        Some(name) => {
            let found = Family::ALL.into_iter().find(|family| family.model_type() == name);
            Some(
                found
                    .ok_or_else(|| fields.unsupported("model_type", "qwen2, qwen3, llama and mistral are"))?,
            )
        }
    };
    let architectures = fields.texts("architectures")?.unwrap_or_default();
    let Some(name) = architectures.first() else {
        let family = by_type.ok_or_else(|| fields.missing("model_type"))?;
        return Ok((family, Architecture::CausalLm));
    };
    let family = Family::ALL.into_iter().find(|family| name.starts_with(family.class()));
    let family = family.ok_or_else(|| fields.unsupported("architectures", SUPPORTED))?;
    if by_type.is_some_and(|by_type| by_type != family) {
        return Err(fields.invalid("model_type", format!("{}, as `architectures` says", family.model_type())));
    }
    let architecture = match &name[family.class().len()..] {
        "ForCausalLM" => Architecture::CausalLm,
        "ForSequenceClassification" => Architecture::Sequence,
        "ForTokenClassification" => Architecture::Token,
        "Model" => Architecture::Model,
        _ => return Err(fields.unsupported("architectures", SUPPORTED)),
    };
    Ok((family, architecture))
}
