//! Scores of models with a head: what `/classify`, `/score` and `/rerank` answer.

use serde_json::Value;

use super::settings::Output;
use crate::backend::RawScore;

/// A probability that rounding made 0 or 1 is taken to be this far from it: log-odds must be finite.
const EDGE: f64 = 1e-7;

/// The score in an answer of `/classify`: `{"data": [{"index": 0, "probs": [...]}]}`.
pub(super) fn classified(reply: &Value, label: Option<usize>, output: Output) -> Result<RawScore, String> {
    let entry = only(reply, "data")?;
    let values = entry.get("probs").and_then(Value::as_array).ok_or("the entry has no `probs`")?;
    let values: Vec<f64> = values.iter().map(|value| number(value, "probs")).collect::<Result<_, _>>()?;
    let at = match (label, values.len()) {
        (_, 0) => return Err("`probs` is empty".to_owned()),
        (Some(label), count) if label >= count => {
            return Err(format!("the model has {count} labels, there is no label {label}"));
        }
        (Some(label), _) => label,
        (None, 1) => 0,
        (None, count) => {
            return Err(format!(
                "the model has {count} labels; say with `openai.label` which one means resolved"
            ));
        }
    };
    let logits: Vec<f64> = match output {
        Output::Logit => values,
        Output::Probability if values.len() == 1 => vec![log_odds(values[0])?],
        Output::Probability => values.iter().map(|value| log_of(*value)).collect::<Result<_, _>>()?,
    };
    // One output is a logit by itself; of several the score is the log-odds against all the others together.
    let logit = if logits.len() == 1 { logits[0] } else { against_others(&logits, at) };
    let labels = if logits.len() == 1 { Vec::new() } else { logits };
    Ok(RawScore { logit: Some(logit), labels, ..RawScore::default() })
}

/// The score in an answer of `/score`: `{"data": [{"index": 0, "score": 0.5}]}`.
pub(super) fn scored(reply: &Value, output: Output) -> Result<RawScore, String> {
    single(&only(reply, "data")?["score"], "score", output)
}

/// The score in an answer of `/rerank`: `{"results": [{"index": 0, "relevance_score": 0.5}]}`.
pub(super) fn reranked(reply: &Value, output: Output) -> Result<RawScore, String> {
    single(&only(reply, "results")?["relevance_score"], "relevance_score", output)
}

fn single(value: &Value, name: &str, output: Output) -> Result<RawScore, String> {
    let value = number(value, name)?;
    let logit = match output {
        Output::Logit => value,
        Output::Probability => log_odds(value)?,
    };
    Ok(RawScore { logit: Some(logit), ..RawScore::default() })
}

/// The one entry of a list, which must be of the one text that was sent.
fn only<'a>(reply: &'a Value, list: &str) -> Result<&'a Value, String> {
    let entries = reply.get(list).and_then(Value::as_array);
    let entries = entries.ok_or_else(|| format!("the reply has no list `{list}`"))?;
    let [entry] = entries.as_slice() else {
        return Err(format!("one text was sent and {} entries came back", entries.len()));
    };
    match entry.get("index") {
        None => Ok(entry),
        Some(index) if index.as_u64() == Some(0) => Ok(entry),
        Some(index) => Err(format!("the entry is of text {index}, text 0 was sent")),
    }
}

fn number(value: &Value, name: &str) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| format!("`{name}` is {value} and no number"))
}

fn log_odds(probability: f64) -> Result<f64, String> {
    let p = checked(probability)?.clamp(EDGE, 1.0 - EDGE);
    Ok((p / (1.0 - p)).ln())
}

fn log_of(probability: f64) -> Result<f64, String> {
    Ok(checked(probability)?.max(EDGE).ln())
}

fn checked(probability: f64) -> Result<f64, String> {
    if (0.0..=1.0 + 1e-6).contains(&probability) {
        return Ok(probability.min(1.0));
    }
    Err(format!(
        "{probability} is no probability; set `openai.output` to `logit` if the server gives raw scores"
    ))
}

/// `logits[at] − log Σ exp(the others)`.
fn against_others(logits: &[f64], at: usize) -> f64 {
    let others = || logits.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, logit)| *logit);
    let highest = others().fold(f64::NEG_INFINITY, f64::max);
    logits[at] - highest - others().map(|logit| (logit - highest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sigmoid(logit: f64) -> f64 {
        1.0 / (1.0 + (-logit).exp())
    }

    #[test]
    fn probabilities_come_back_as_probabilities() {
        let reply =
            json!({"data": [{"index": 0, "label": "LABEL_1", "probs": [0.2, 0.7, 0.1], "num_classes": 3}]});
        let score = classified(&reply, Some(1), Output::Probability).unwrap();
        assert!((sigmoid(score.logit.unwrap()) - 0.7).abs() < 1e-9);
        assert_eq!(score.labels.len(), 3);
        let one = json!({"data": [{"index": 0, "probs": [0.25], "num_classes": 1}]});
        assert!(
            (sigmoid(classified(&one, None, Output::Probability).unwrap().logit.unwrap()) - 0.25).abs()
                < 1e-9
        );
        let raw = json!({"data": [{"probs": [-1.5]}]});
        assert_eq!(classified(&raw, None, Output::Logit).unwrap().logit, Some(-1.5));
        let two = json!({"data": [{"probs": [1.0, 3.0]}]});
        assert_eq!(classified(&two, Some(1), Output::Logit).unwrap().logit, Some(2.0));
    }

    #[test]
    fn pairs_are_read_in_both_shapes() {
        let score = json!({"data": [{"index": 0, "object": "score", "score": 0.5}]});
        assert_eq!(scored(&score, Output::Probability).unwrap().logit, Some(0.0));
        let rerank = json!({"results": [{"index": 0, "relevance_score": 2.5, "document": {"text": "x"}}]});
        assert_eq!(reranked(&rerank, Output::Logit).unwrap().logit, Some(2.5));
        let sure = json!({"data": [{"score": 1.0}]});
        assert!(scored(&sure, Output::Probability).unwrap().logit.unwrap().is_finite());
    }

    #[test]
    fn wrong_replies_are_named() {
        for (reply, words) in [
            (json!({"data": []}), "0 entries came back"),
            (json!({"data": [{"index": 0, "score": 0.1}, {"index": 1, "score": 0.2}]}), "2 entries"),
            (json!({"data": [{"index": 3, "score": 0.1}]}), "of text 3"),
            (json!({"data": [{"index": 0, "score": null}]}), "`score` is null"),
            (json!({"data": [{"index": 0, "score": "high"}]}), "no number"),
            (json!({"data": [{"index": 0, "score": 1.5}]}), "openai.output"),
            (json!({"data": [{"index": 0, "score": -0.5}]}), "no probability"),
            (json!({"error": "x"}), "no list `data`"),
            (json!([]), "no list `data`"),
        ] {
            let reason = scored(&reply, Output::Probability).unwrap_err();
            assert!(reason.contains(words), "{reason}");
        }
        let labels = json!({"data": [{"probs": [0.5, 0.5]}]});
        assert!(classified(&labels, None, Output::Probability).unwrap_err().contains("openai.label"));
        assert!(classified(&labels, Some(2), Output::Probability).unwrap_err().contains("no label 2"));
        let empty = json!({"data": [{"probs": []}]});
        assert!(classified(&empty, None, Output::Probability).is_err());
    }
}
