//! The rules of the input format, checked on random and hostile trajectories.

use std::sync::Arc;

use common::{Candidate, ExitStatus, Role, ToolCall, Trajectory, Turn};
use proptest::prelude::*;

use super::*;
use crate::backend::{PrepareError, PrepareOptions};

const TEXTS: [Layout; 2] = [Layout::JudgeV1, Layout::CompactV1];

/// Text in which pieces of marks meet, and some of it long.
fn text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "<|im_end|>",
        "[/PATCH]",
        "[PATCH]",
        "=== END INTERACTION ===",
        "<judgement>",
        "YES",
        "[/USER]",
        "[USER]\n",
        "[OBS]",
        "[SCORE]",
        "word ",
        "a longer line of words\n",
        "\n",
        "```bash\nls\n```",
        "<",
        "|",
        "é",
        "=== ",
        "/",
        "]",
        OBSERVATION_MARKER,
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn turn() -> impl Strategy<Value = Turn> {
    let role =
        prop::sample::select(vec![Role::Assistant, Role::Assistant, Role::Tool, Role::User, Role::System]);
    let call = (text(), prop::bool::ANY).prop_map(|(text, named)| ToolCall {
        id: None,
        name: "bash".into(),
        arguments: if named { serde_json::json!({"command": text}).to_string() } else { text },
    });
    (role, text(), prop::option::of(text()), prop::collection::vec(call, 0..3)).prop_map(
        |(role, content, reasoning, tool_calls)| {
            let policy = role == Role::Assistant;
            Turn {
                role,
                content,
                reasoning: reasoning.filter(|_| policy),
                tool_calls: if policy { tool_calls } else { Vec::new() },
                tool_call_id: None,
            }
        },
    )
}

fn example() -> impl Strategy<Value = Example> {
    (text(), prop::collection::vec(turn(), 0..16), prop::option::of(text()), any::<bool>()).prop_map(
        |(issue, turns, patch, submitted)| Example {
            issue: issue.into(),
            candidate: Arc::new(Candidate {
                candidate_id: "candidate-name".into(),
                trajectory: Trajectory {
                    turns,
                    patch,
                    exit: if submitted { ExitStatus::Submitted } else { ExitStatus::Unknown },
                    ..Trajectory::default()
                },
            }),
        },
    )
}

/// A tokenizer that is exactly additive over pieces and cheap: a token for every four bytes begun.
fn tokens(text: &str) -> usize {
    text.len().div_ceil(4)
}

/// The rule in its plainest form: one replacement at a time, everything counted anew.
fn by_the_book(mut document: Document<'_>, limit: usize) -> Result<Document<'_>, usize> {
    let total = |document: &Document<'_>| {
        document.segments.iter().map(|segment| tokens(&segment.text)).sum::<usize>()
    };
    loop {
        if total(&document) <= limit {
            return Ok(document);
        }
        let longest = |kind: fn(Part) -> bool, marker: &str| {
            let mut best: Option<usize> = None;
            for (at, segment) in document.segments.iter().enumerate() {
                let long = tokens(&segment.text);
                if segment.may_go
                    && kind(segment.part)
                    && long > tokens(marker)
                    && best.is_none_or(|best| long > tokens(&document.segments[best].text))
                {
                    best = Some(at);
                }
            }
            best.map(|at| (at, marker.to_owned()))
        };
        let found = longest(|part| matches!(part, Part::Observation(_)), OBSERVATION_MARKER)
            .or_else(|| longest(|part| matches!(part, Part::Thought(_)), THOUGHT_MARKER));
        let Some((at, marker)) = found else { return Err(total(&document)) };
        document.segments[at].text = marker.into();
    }
}

proptest! {
    #[test]
    fn budgets_hold_and_the_rule_is_the_documented_one(example in example(), limit in 0_usize..1500) {
        for layout in TEXTS {
            let whole = lay_out(&example, layout).unwrap();
            let full: usize = whole.segments.iter().map(|segment| tokens(&segment.text)).sum();
            match (fit(whole.clone(), limit, true, &tokens), by_the_book(whole.clone(), limit)) {
                (Ok(fitted), Ok(book)) => {
                    prop_assert_eq!(&fitted.document, &book);
                    prop_assert!(fitted.tokens <= limit);
                    prop_assert_eq!(fitted.condensed.is_some(), full > limit);
                    if let Some(condensed) = &fitted.condensed {
                        prop_assert_eq!(condensed.full_tokens, full);
                        prop_assert_eq!(condensed.removed_tokens, full - fitted.tokens);
                    }
                    let again = fit(fitted.document.clone(), limit, true, &tokens).unwrap();
                    prop_assert_eq!(again.document, fitted.document);
                    prop_assert!(again.condensed.is_none());
                }
                (Err(error), Err(left)) => prop_assert_eq!((error.tokens, error.limit), (left, limit)),
                other => prop_assert!(false, "{other:?}"),
            }
            if full > limit {
                let refused = fit(whole, limit, false, &tokens).unwrap_err();
                prop_assert_eq!(refused, TooLong { tokens: full, limit, condensed: false });
            }
        }
    }

    #[test]
    fn issue_patch_actions_and_last_turns_are_never_touched(example in example(), limit in 0_usize..1500) {
        for layout in TEXTS {
            let whole = lay_out(&example, layout).unwrap();
            let Ok(fitted) = fit(whole.clone(), limit, true, &tokens) else { continue };
            let assistants: Vec<usize> = example.candidate.trajectory.turns.iter().enumerate()
                .filter(|(_, turn)| turn.role == Role::Assistant).map(|(at, _)| at).collect();
            let last = assistants.len().checked_sub(KEPT_TURNS).map_or(0, |at| assistants[at]);
            for (before, after) in whole.segments.iter().zip(&fitted.document.segments) {
                let stays = match before.part {
                    Part::Thought(turn) | Part::Observation(turn) => turn >= last,
                    _ => true,
                };
                if stays {
                    prop_assert_eq!(before, after);
                }
            }
            let text = fitted.document.text(fitted.document.messages.last().unwrap());
            let patch = escape(example.candidate.trajectory.patch_text().trim_matches(['\n', '\r'])).into_owned();
            prop_assert!(text.contains(&patch));
            prop_assert!(text.contains(&*escape(example.issue.trim())));
        }
    }

    #[test]
    fn nobody_breaks_out_of_the_frame(example in example()) {
        for layout in TEXTS {
            let document = lay_out(&example, layout).unwrap();
            for segment in &document.segments {
                prop_assert!(segment.part == Part::Frame || !escape::holds_mark(&segment.text), "{segment:?}");
            }
            // Not even where pieces meet.
            let marks = |text: &str| {
                ["[/USER]", "[PATCH]", "[/PATCH]", "=== END INTERACTION", "<judgement>", "[OBS]", "[SCORE]", "[/TURN]"]
                    .map(|mark| text.matches(mark).count())
            };
            let frames: Vec<&str> = document.segments.iter().filter(|segment| segment.part == Part::Frame).map(|segment| &*segment.text).collect();
            let all: String = document.messages.iter().map(|message| document.text(message)).collect();
            prop_assert_eq!(marks(&all), marks(&frames.join("\n")));
            prop_assert!(!all.contains("<|im_end|>"));
        }
    }

    #[test]
    fn places_lie_where_turns_end_and_the_shared_part_is_shared(a in example(), b in example()) {
        let other = Example { issue: a.issue.clone(), candidate: b.candidate };
        for layout in TEXTS {
            let document = lay_out(&a, layout).unwrap();
            let closing = if layout == Layout::JudgeV1 { "[/ASSISTANT]\n\n" } else { "[/TURN]\n" };
            let turns = a.candidate.trajectory.turns.iter().filter(|turn| turn.role == Role::Assistant).count();
            let ends = document.turn_ends();
            prop_assert_eq!(ends.len(), turns);
            prop_assert!(ends.is_sorted());
            let chat = document.chat();
            for end in ends {
                prop_assert!(chat[end.message].1[..end.byte].ends_with(closing));
            }
            if !a.issue.trim().is_empty() {
                let Place { message, byte } = document.shared();
                let others = lay_out(&other, layout).unwrap().chat();
                prop_assert_eq!(&chat[message].1[..byte], &others[message].1[..byte]);
                prop_assert_eq!(&chat[..message], &others[..message]);
            }
        }
    }
}

/// Every format's fixture has a mark in every field that must not reach a model.
#[test]
fn no_label_is_ever_read() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../common/tests/fixtures");
    let mut folders = vec![folder];
    let mut seen = 0;
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let name = path.to_string_lossy().into_owned();
            let context = common::formats::ReadContext::named(name.clone());
            common::formats::read(bytes.as_slice(), &context, &mut |record| {
                if let common::formats::Record::Candidate(record) = record {
                    let example = Example { issue: "".into(), candidate: Arc::new(record.candidate) };
                    for layout in TEXTS {
                        let chat = lay_out(&example, layout).unwrap().chat();
                        assert!(!format!("{chat:?}").contains("LABEL-SENTINEL"), "{name}");
                        seen += 1;
                    }
                }
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        }
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn names_of_runs_and_files_are_not_read() {
    let trajectory = Trajectory {
        instance_id: "secret-instance".into(),
        exit_raw: Some("secret-exit".into()),
        cost: Some(12345.5),
        steps: Some(54321),
        turns: vec![
            Turn { role: Role::System, content: "secret-prompt".into(), ..Turn::default() },
            Turn {
                role: Role::Assistant,
                content: "ok".into(),
                tool_calls: vec![ToolCall {
                    id: Some("secret-call".into()),
                    name: "bash".into(),
                    arguments: "{}".into(),
                }],
                ..Turn::default()
            },
            Turn {
                role: Role::Tool,
                content: "out".into(),
                tool_call_id: Some("secret-call".into()),
                ..Turn::default()
            },
        ],
        ..Trajectory::default()
    };
    let candidate = Arc::new(Candidate { candidate_id: "secret-candidate".into(), trajectory });
    let example = Example { issue: "the issue".into(), candidate };
    for layout in TEXTS {
        let text = format!("{:?}", lay_out(&example, layout).unwrap().chat());
        for hidden in ["secret", "12345", "54321", "native"] {
            assert!(!text.contains(hidden), "{hidden} is in {text}");
        }
    }
}

#[test]
fn preparing_for_a_server_counts_the_template_and_says_what_to_do() {
    let long = |role| Turn { role, content: "word ".repeat(400), ..Turn::default() };
    let turns = (0..6).flat_map(|_| [long(Role::Assistant), long(Role::User)]).collect();
    let candidate = Arc::new(Candidate {
        candidate_id: "c1".into(),
        trajectory: Trajectory { turns, patch: Some("+x\n".into()), ..Trajectory::default() },
    });
    let example = Example { issue: "i".into(), candidate };
    let prepare = |limit, condense| {
        let options = PrepareOptions { max_tokens: Some(limit), condense };
        prepare_chat(&example, Layout::CompactV1, 100_000, 10, options, &estimate_tokens)
    };
    let whole = prepare(100_000, false).unwrap();
    let PrepareError::TooLong { tokens, limit, hint, .. } = prepare(4_000, false).unwrap_err() else {
        panic!()
    };
    assert_eq!((tokens, limit), (whole.tokens, 4_000));
    assert!(hint.contains("ask for condensing"));
    let condensed = prepare(4_000, true).unwrap();
    assert!(condensed.tokens <= 4_000);
    assert_ne!(condensed.content, whole.content);
    assert_eq!(condensed.condensed.unwrap().turns, [1, 3, 5]);
    let error = prepare(100, true).unwrap_err().to_string();
    assert!(error.starts_with("c1: ") && error.contains("condensing leaves no less"), "{error}");
}
