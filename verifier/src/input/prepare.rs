//! Prepares examples for servers that tokenise themselves.

use crate::backend::{Example, Layout, Payload, PrepareError, PrepareOptions, Prepared};

use super::{Document, TooLong, fit, lay_out};

/// Lays an example out as chat messages within the limit of the model and of the caller.
///
/// `overhead` is what the server's chat template adds, in tokens. Back ends that know their tokenizer pass it as
/// `count`, others [`super::estimate_tokens`].
pub fn prepare_chat(
    example: &Example,
    layout: Layout,
    model_limit: usize,
    overhead: usize,
    options: PrepareOptions,
    count: &dyn Fn(&str) -> usize,
) -> Result<Prepared, PrepareError> {
    let candidate = &example.candidate.candidate_id;
    let limit = options.max_tokens.map_or(model_limit, |asked| asked.min(model_limit));
    let document = lay_out(example, layout).ok_or_else(|| PrepareError::Refused {
        candidate: candidate.clone(),
        reason: format!("layout {layout} is no text"),
    })?;
    let fitted = fit(document, limit.saturating_sub(overhead), options.condense, count)
        .map_err(|error| too_long(candidate, TooLong { tokens: error.tokens + overhead, limit, ..error }))?;
    Ok(Prepared {
        tokens: fitted.tokens + overhead,
        shared_tokens: shared_tokens(&fitted.document, count),
        content: fitted.document.content_hash(),
        payload: Payload::Messages(fitted.document.chat()),
        condensed: fitted.condensed,
    })
}

/// What a back end answers when an example does not fit.
pub fn too_long(candidate: &str, error: TooLong) -> PrepareError {
    PrepareError::TooLong {
        candidate: candidate.to_owned(),
        tokens: error.tokens,
        limit: error.limit,
        hint: if error.condensed {
            "; condensing leaves no less: the issue, the actions, the last turns and the patch stay"
        } else {
            "; ask for condensing, which leaves out the longest observations"
        },
    }
}

fn shared_tokens(document: &Document<'_>, count: &dyn Fn(&str) -> usize) -> usize {
    document.segments[..document.shared].iter().map(|segment| count(&segment.text)).sum()
}
