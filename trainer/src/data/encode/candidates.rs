//! Candidates of an issue, as a verifier reads them.

use std::{path::Path, sync::Arc};

use common::Candidate;
use verifier::{
    Example, Layout, Payload, PrepareError,
    input::{self, ANSWER_PREFIX},
    native::{Reader, Settings},
};

use super::{EncodeError, EncodeRules, Encoded, Judged, OverLong, Shortened, Tokens};

/// Reads candidates exactly as the verifier service will.
#[derive(Debug)]
pub(super) struct VerifierReader {
    reader: Reader,
    layout: Layout,
    rules: EncodeRules,
    /// Tokens of the judge's answers, NO and YES, that follow the forced beginning; empty under other layouts.
    answers: [Vec<u32>; 2],
}

impl VerifierReader {
    /// By the tokenizer of a model's folder. The layout is that of the rules, else of `entropo.json`, else
    /// `compact-v1`.
    pub(super) fn open(dir: &Path, rules: EncodeRules) -> Result<Self, String> {
        let named = Settings::load(dir).map_err(|error| error.to_string())?.layout;
        let named =
            named.map(|name| name.parse::<Layout>().map_err(|error| error.to_string())).transpose()?;
        let layout = rules.layout.or(named).unwrap_or(Layout::CompactV1);
        if layout == Layout::FeaturesV1 {
            return Err(format!("layout {layout} is no text; use compact-v1 or judge-v1"));
        }
        let reader = Reader::open(dir, layout).map_err(|error| error.to_string())?;
        let answers = match layout {
            Layout::JudgeV1 => [answer(&reader, "NO")?, answer(&reader, "YES")?],
            _ => Default::default(),
        };
        Ok(Self { reader, layout, rules, answers })
    }

    /// The candidates of an issue with their labels.
    pub(super) fn read(&self, issue: &str, candidates: &[(Candidate, bool)]) -> Result<Encoded, EncodeError> {
        let issue: Arc<str> = issue.into();
        let mut judged = Vec::with_capacity(candidates.len());
        let mut least = usize::MAX;
        for (candidate, resolved) in candidates {
            let (tokens, shared) = self.candidate(&issue, candidate, *resolved)?;
            least = least.min(shared);
            judged.push(Judged { id: candidate.candidate_id.clone(), tokens, resolved: *resolved });
        }
        let same = judged.iter().map(|one| super::common(&one.tokens.ids, &judged[0].tokens.ids)).min();
        let shared = least.min(same.unwrap_or(0));
        for one in &mut judged {
            one.tokens.prompt = shared;
        }
        Ok(Encoded::Candidates { candidates: judged, shared })
    }

    fn candidate(
        &self,
        issue: &Arc<str>,
        candidate: &Candidate,
        resolved: bool,
    ) -> Result<(Tokens, usize), EncodeError> {
        let part = || candidate.candidate_id.clone();
        let example = Example { issue: issue.clone(), candidate: Arc::new(candidate.clone()) };
        let answer = &self.answers[usize::from(resolved)];
        let limit = self.rules.max_tokens.saturating_sub(answer.len());
        let condense = self.rules.over_long == OverLong::Condense;
        let document = input::lay_out(&example, self.layout).ok_or_else(|| EncodeError::Verifier {
            part: part(),
            reason: "its layout is no text".to_owned(),
        })?;
        let prepared = self.reader.prepare(document, &candidate.candidate_id, limit, condense);
        let prepared = prepared.map_err(|error| match error {
            PrepareError::TooLong { tokens, .. } => EncodeError::TooLong {
                part: part(),
                tokens: tokens + answer.len(),
                limit: self.rules.max_tokens,
            },
            PrepareError::Refused { reason, .. } => EncodeError::Verifier { part: part(), reason },
        })?;
        let Payload::Tokens { mut ids, turn_ends } = prepared.payload else {
            return Err(EncodeError::Verifier { part: part(), reason: "its layout is no text".to_owned() });
        };
        let shortened = prepared.condensed.map_or(Shortened::default(), |condensed| Shortened {
            observations: condensed.turns.len() + condensed.thoughts.len(),
            tokens: condensed.removed_tokens,
        });
        let mut trained = vec![false; ids.len()];
        ids.extend(answer);
        trained.resize(ids.len(), true);
        let tokens = Tokens { ids, trained, prompt: 0, turn_ends, shortened, cut_off: Vec::new() };
        Ok((tokens, prepared.shared_tokens))
    }
}

/// The tokens of an answer behind [`ANSWER_PREFIX`]: the word, the closing mark, and what ends a turn.
fn answer(reader: &Reader, word: &str) -> Result<Vec<u32>, String> {
    let tokenizer = reader.tokenizer();
    let close = ANSWER_PREFIX.replacen('<', "</", 1);
    let eos = tokenizer.special().get("eos_token").map_or("", String::as_str);
    let encoded =
        tokenizer.encode(&format!("{word}{close}{eos}"), false).map_err(|error| error.to_string())?;
    Ok(encoded.ids)
}
