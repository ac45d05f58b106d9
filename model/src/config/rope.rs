//! Rotary position embedding: which angles, and how checkpoints stretch them to longer contexts.

use std::f64::consts::PI;

use super::fields::{ConfigError, Fields};

/// The rotation of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Base of the wavelengths.
    pub theta: f64,
    /// How they are stretched.
    pub scaling: RopeScaling,
}

/// Kinds of stretching, with the names and the formulas of `transformers`' `modeling_rope_utils`.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// None.
    Default,
    /// Every angle is divided by the factor.
    Linear {
        /// How many times longer the context becomes.
        factor: f64,
    },
    /// Long wavelengths are divided by the factor, short ones kept, those between interpolated (Llama 3.1).
    Llama3 {
        /// How many times longer the context becomes.
        factor: f64,
        /// Wavelengths over `original / low_frequency` are divided.
        low_frequency: f64,
        /// Wavelengths under `original / high_frequency` are kept.
        high_frequency: f64,
        /// Context of the model before stretching, in tokens.
        original: f64,
    },
    /// NTK by parts with a factor on attention (arXiv 2309.00071).
    Yarn {
        /// How many times longer the context becomes.
        factor: f64,
        /// Factor of cos and sin.
        attention: f64,
        /// Rotations over the original context from which a dimension is kept as it is.
        beta_fast: f64,
        /// Rotations under which a dimension is divided by the factor.
        beta_slow: f64,
        /// Context of the model before stretching, in tokens.
        original: f64,
        /// Whether the borders are rounded to whole dimensions.
        truncate: bool,
    },
}

/// Every field that some kind of rotation knows; another one would be a kind that is not known here.
const KNOWN: [&str; 15] = [
    "rope_theta",
    "rope_type",
    "type",
    "partial_rotary_factor",
    "factor",
    "original_max_position_embeddings",
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "low_freq_factor",
    "high_freq_factor",
    "mscale",
    "mscale_all_dim",
    "truncate",
    "finetuned",
];

impl Rope {
    /// Reads `rope_scaling` and `rope_theta` (before transformers 5) or `rope_parameters` (since).
    pub(super) fn read(config: Fields<'_>, max_positions: usize) -> Result<Self, ConfigError> {
        // The order of transformers 5: the old name wins unless it is empty.
        let mut path = "rope_scaling";
        let mut map = config.object(path)?.filter(|map| !map.is_empty());
        if map.is_none() {
            path = "rope_parameters";
            map = config.object(path)?;
        }
        let empty = serde_json::Map::new();
        let fields = Fields::new(map.unwrap_or(&empty), path);
        if let Some(name) = fields.names().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(fields.unsupported(name, "no supported kind of rotation has this field"));
        }
        for fields in [config, fields] {
            if fields.number("partial_rotary_factor")?.is_some_and(|factor| factor != 1.0) {
                return Err(fields.unsupported("partial_rotary_factor", "heads must be rotated whole"));
            }
        }
        let theta = match fields.positive("rope_theta")? {
            Some(theta) => theta,
            None => config.positive("rope_theta")?.unwrap_or(10_000.0),
        };
        let original = match config.positive("original_max_position_embeddings")? {
            Some(original) => original,
            None => fields.positive("original_max_position_embeddings")?.unwrap_or(max_positions as f64),
        };
        let name = if fields.get("rope_type").is_some() { "rope_type" } else { "type" };
        let scaling = match fields.text(name)?.unwrap_or("default") {
            "default" => RopeScaling::Default,
            "linear" => RopeScaling::Linear { factor: required(fields, "factor")? },
            "llama3" => llama3(fields, original)?,
            "yarn" => yarn(fields, original, max_positions)?,
            "dynamic" => {
                let why = "its angles depend on the longest row of a batch, so a score would depend on its \
                           neighbours; use linear, llama3 or yarn";
                return Err(fields.unsupported(name, why));
            }
            _ => return Err(fields.unsupported(name, "default, linear, llama3 and yarn are")),
        };
        Ok(Self { theta, scaling })
    }

    /// Angle per position of each pair of a head of `size` dimensions, and the factor of cos and sin.
    ///
    /// Calculated in single precision step by step as PyTorch does: at position 30,000 a last bit here is 10⁻³ rad.
    pub fn frequencies(&self, size: usize) -> (Vec<f32>, f32) {
        let powers = (0..size / 2).map(|pair| {
            let exponent = (2 * pair) as f32 / size as f32;
            self.theta.powf(f64::from(exponent)) as f32
        });
        let plain = powers.clone().map(|power| 1.0 / power);
        match self.scaling {
            RopeScaling::Default => (plain.collect(), 1.0),
            RopeScaling::Linear { factor } => (plain.map(|angle| angle / factor as f32).collect(), 1.0),
            RopeScaling::Llama3 { factor, low_frequency, high_frequency, original } => {
                let scaled = |angle: f32| {
                    let length = (2.0 * PI) as f32 / angle;
                    if f64::from(length) > original / low_frequency {
                        return angle / factor as f32;
                    }
                    if f64::from(length) < original / high_frequency {
                        return angle;
                    }
                    let smooth = (original as f32 / length - low_frequency as f32)
                        / (high_frequency - low_frequency) as f32;
                    (1.0 - smooth) * angle / factor as f32 + smooth * angle
                };
                (plain.map(scaled).collect(), 1.0)
            }
            RopeScaling::Yarn { factor, attention, beta_fast, beta_slow, original, truncate } => {
                // The pair that turns `rotations` times over the original context.
                let border = |rotations: f64| {
                    size as f64 * (original / (rotations * 2.0 * PI)).ln() / (2.0 * self.theta.ln())
                };
                let (low, high) = (border(beta_fast), border(beta_slow));
                let (low, high) = if truncate { (low.floor(), high.ceil()) } else { (low, high) };
                let (low, mut high) = (low.max(0.0), high.min(size as f64 - 1.0));
                if low == high {
                    high += 0.001;
                }
                let scaled = |(pair, power): (usize, f32)| {
                    let ramp = ((pair as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
                    let kept = 1.0 - ramp;
                    1.0 / (factor as f32 * power) * (1.0 - kept) + 1.0 / power * kept
                };
                (powers.enumerate().map(scaled).collect(), attention as f32)
            }
        }
    }
}

fn required(fields: Fields<'_>, name: &str) -> Result<f64, ConfigError> {
    fields.positive(name)?.ok_or_else(|| fields.missing(name))
}

fn llama3(fields: Fields<'_>, original: f64) -> Result<RopeScaling, ConfigError> {
    let (low_frequency, high_frequency) =
        (required(fields, "low_freq_factor")?, required(fields, "high_freq_factor")?);
    if high_frequency <= low_frequency {
        return Err(fields.invalid("high_freq_factor", "above `low_freq_factor`"));
    }
    Ok(RopeScaling::Llama3 { factor: required(fields, "factor")?, low_frequency, high_frequency, original })
}

fn yarn(fields: Fields<'_>, original: f64, max_positions: usize) -> Result<RopeScaling, ConfigError> {
    let factor = fields.positive("factor")?.unwrap_or(max_positions as f64 / original);
    let scale = |by: f64| if factor <= 1.0 { 1.0 } else { 0.1 * by * factor.ln() + 1.0 };
    // A zero counts as absent in transformers.
    let given = |name: &str| fields.number(name).map(|number| number.filter(|number| *number != 0.0));
    let attention = match (fields.positive("attention_factor")?, given("mscale")?, given("mscale_all_dim")?) {
        (Some(attention), ..) => attention,
        (None, Some(mscale), Some(all)) => scale(mscale) / scale(all),
        _ => scale(1.0),
    };
    let truncate = fields.get("truncate").is_none() || fields.flag("truncate")?;
    Ok(RopeScaling::Yarn {
        factor,
        attention,
        beta_fast: given("beta_fast")?.unwrap_or(32.0),
        beta_slow: given("beta_slow")?.unwrap_or(1.0),
        original,
        truncate,
    })
}
