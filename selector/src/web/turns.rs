//! A conversation, turn by turn: what is long is folded, what is very long is cut and linked.

use common::{Role, ToolCall, Trajectory, Turn};

use super::highlight::Highlighter;
use super::links::Links;
use super::markup::Markup;
use super::text::{clean, clip, count, grouped};

/// Turns on a page.
pub(super) const TURNS_ON_PAGE: usize = 40;
/// Lines of a block that are shown.
const BLOCK_LINES: usize = 400;
/// Bytes of a block that are shown.
const BLOCK_BYTES: usize = 24_000;
/// Arguments of a tool call up to this length share a block.
const SHORT_BYTES: usize = 120;
/// An observation of at most this many lines is not folded.
const OPEN_LINES: usize = 6;

/// Some turns of a trajectory.
#[derive(Debug)]
pub(super) struct TurnsView {
    /// Whether this is the beginning.
    pub(super) first: bool,
    pub(super) words: String,
    pub(super) items: Vec<TurnView>,
    pub(super) more: Option<MoreTurns>,
}

/// The link to the next turns.
#[derive(Debug)]
pub(super) struct MoreTurns {
    pub(super) url: String,
    pub(super) words: String,
}

/// One turn.
#[derive(Debug)]
pub(super) struct TurnView {
    /// From 1.
    pub(super) number: usize,
    pub(super) role: &'static str,
    pub(super) label: &'static str,
    pub(super) open: bool,
    /// The beginning in one line.
    pub(super) gist: String,
    pub(super) size: String,
    pub(super) blocks: Vec<Block>,
    pub(super) raw: String,
}

/// A piece of a turn: text, reasoning, or an argument of a tool call.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) kind: &'static str,
    pub(super) heading: Option<String>,
    pub(super) text: Markup,
    pub(super) note: Option<String>,
}

/// The turns from `from` (counted from 0) on.
pub(super) fn view(trajectory: &Trajectory, candidate_id: &str, from: usize, links: &Links) -> TurnsView {
    let total = trajectory.turns.len();
    let from = from.min(total);
    let to = (from + TURNS_ON_PAGE).min(total);
    let items = trajectory.turns[from..to]
        .iter()
        .zip(from + 1..)
        .map(|(turn, number)| turn_view(turn, number, links.raw_turn(candidate_id, number)))
        .collect();
    TurnsView {
        first: from == 0,
        words: words(trajectory),
        items,
        more: (to < total).then(|| MoreTurns {
            url: links.trajectory(candidate_id, to),
            words: format!("Turns {} to {} of {}", to + 1, (to + TURNS_ON_PAGE).min(total), grouped(total)),
        }),
    }
}

/// What there is to say of the whole run.
fn words(trajectory: &Trajectory) -> String {
    let exit = trajectory.exit_raw.as_deref().filter(|e| !e.is_empty());
    let exit = exit.map(|e| format!(", ended with “{}”", clean(clip(e, 1, 200).shown)));
    let cost = trajectory.cost.filter(|c| c.is_finite()).map(|c| format!(", cost ${c:.2}"));
    format!(
        "{}{}{}. Long observations are folded.",
        count(trajectory.turns.len(), "turn", "turns"),
        exit.unwrap_or_default(),
        cost.unwrap_or_default()
    )
}

/// The whole of one turn as plain text, for the raw view.
pub(super) fn raw(turn: &Turn) -> String {
    let mut out = String::new();
    if let Some(reasoning) = &turn.reasoning {
        out.push_str(reasoning);
        out.push_str("\n\n");
    }
    out.push_str(&turn.content);
    for call in &turn.tool_calls {
        out.extend(["\n\n", &call.name, "\n", &call.arguments]);
    }
    out
}

fn turn_view(turn: &Turn, number: usize, raw: String) -> TurnView {
    let mut blocks = Vec::new();
    if let Some(reasoning) = turn.reasoning.as_deref().filter(|r| !r.trim().is_empty()) {
        blocks.push(block("reasoning", Some("Reasoning".to_owned()), reasoning, None));
    }
    if !turn.content.trim().is_empty() {
        blocks.push(block("text", None, &turn.content, None));
    }
    for call in &turn.tool_calls {
        blocks.extend(call_blocks(call));
    }
    let (role, label) = match turn.role {
        Role::System => ("system", "system"),
        Role::Assistant => ("assistant", "assistant"),
        Role::User if number <= 2 => ("user", "user"),
        // Scaffolds without a tool role answer as the user.
        Role::User | Role::Tool => ("tool", "observation"),
    };
    let lines = turn.content.lines().count();
    let bytes = turn.content.len() + turn.tool_calls.iter().map(|c| c.arguments.len()).sum::<usize>();
    TurnView {
        number,
        role,
        label,
        open: turn.role == Role::Assistant || (role == "tool" && lines <= OPEN_LINES && bytes < 1_000),
        gist: gist(turn),
        size: if lines > OPEN_LINES { count(lines, "line", "lines") } else { String::new() },
        blocks,
        raw,
    }
}

fn gist(turn: &Turn) -> String {
    let call = turn.tool_calls.first().map(|c| format!("{} {}", c.name, command(c).unwrap_or_default()));
    let text = [Some(turn.content.as_str()), turn.reasoning.as_deref(), call.as_deref()]
        .into_iter()
        .flatten()
        .find(|t| !t.trim().is_empty())
        .unwrap_or("(empty)");
    // No need to clean megabytes for one line.
    let head = clean(clip(text.trim_start(), 4, 2_000).shown).into_owned();
    let line = head.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
    let cut = clip(line, 1, 160);
    if cut.hidden_bytes > 0 { format!("{}…", cut.shown) } else { cut.shown.to_owned() }
}

fn arguments(call: &ToolCall) -> Option<serde_json::Map<String, serde_json::Value>> {
    serde_json::from_str(&call.arguments).ok()
}

fn command(call: &ToolCall) -> Option<String> {
    match arguments(call) {
        Some(map) => map.get("command").or_else(|| map.values().next()).map(plain),
        None => Some(call.arguments.clone()),
    }
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The arguments of a call, one block each, in the order the agent gave them.
fn call_blocks(call: &ToolCall) -> Vec<Block> {
    let name = clean(&call.name).into_owned();
    let Some(map) = arguments(call).filter(|m| !m.is_empty()) else {
        return vec![block("call", Some(name), &call.arguments, Some(Highlighter::shell()))];
    };
    let path = map.get("path").map(plain).unwrap_or_default();
    // A command beside a path is an editor's word, such as `view`, and no command line.
    let shell = !map.contains_key("path");
    let mut short = String::new();
    let mut blocks = Vec::new();
    for (key, value) in &map {
        let text = plain(value);
        let (kind, colours) = match key.as_str() {
            "command" | "cmd" if shell => ("call", Some(Highlighter::shell())),
            "old_str" => ("call old", Some(Highlighter::new(&path, &text.lines()))),
            "new_str" => ("call new", Some(Highlighter::new(&path, &text.lines()))),
            "file_text" | "code" => ("call", Some(Highlighter::new(&path, &text.lines()))),
            _ if text.len() <= SHORT_BYTES && !text.contains('\n') => {
                short.extend([key, ": ", &text, "\n"]);
                continue;
            }
            _ => ("call", None),
        };
        blocks.push(block(kind, Some(clean(key).into_owned()), &text, colours));
    }
    if !short.is_empty() {
        // What is done to which file comes first; options of a command line follow it.
        let at = usize::from(shell && !blocks.is_empty());
        blocks.insert(at, block("call", None, short.trim_end(), None));
    }
    if let Some(first) = blocks.first_mut() {
        first.heading =
            Some(first.heading.take().map_or_else(|| name.clone(), |key| format!("{name} · {key}")));
    }
    blocks
}

fn block(kind: &'static str, heading: Option<String>, text: &str, colours: Option<Highlighter>) -> Block {
    // Cut before cleaning, so that the cost is bounded; cleaning adds at most a few bytes a character.
    let cut = clip(text, BLOCK_LINES, BLOCK_BYTES);
    let cleaned = clean(cut.shown);
    let mut markup = Markup::default();
    match colours {
        Some(mut h) => {
            for line in cleaned.split_inclusive('\n') {
                let bare = line.strip_suffix('\n').unwrap_or(line);
                markup.push(&h.line(bare, None));
                markup.text(&line[bare.len()..]);
            }
        }
        None => markup.text(&cleaned),
    }
    let note = (cut.hidden_bytes > 0).then(|| {
        format!(
            "{} ({} bytes) not shown.",
            count(cut.hidden_lines, "more line", "more lines"),
            grouped(cut.hidden_bytes)
        )
    });
    Block { kind, heading, text: markup, note }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assistant(content: &str, call: Option<(&str, &str)>) -> Turn {
        Turn {
            role: Role::Assistant,
            content: content.to_owned(),
            tool_calls: call
                .into_iter()
                .map(|(name, arguments)| ToolCall {
                    id: None,
                    name: name.to_owned(),
                    arguments: arguments.to_owned(),
                })
                .collect(),
            ..Turn::default()
        }
    }

    fn one(turn: Turn) -> TurnView {
        let trajectory = Trajectory { turns: vec![turn], ..Trajectory::default() };
        view(&trajectory, "c", 0, &Links::new("s")).items.remove(0)
    }

    #[test]
    fn calls_are_shown_by_argument_and_escaped() {
        let t = one(assistant("", Some(("bash", r#"{"command":"echo '<img src=x onerror=alert(1)>'"}"#))));
        assert_eq!(t.blocks[0].heading.as_deref(), Some("bash · command"));
        let text = t.blocks[0].text.to_string();
        assert!(text.contains("&lt;img") && !text.contains("<img"), "{text}");
        assert!(t.gist.starts_with("bash echo"));
        let t = one(assistant("", Some(("bash", "ls -la"))));
        assert_eq!(t.blocks[0].text.to_string(), "ls -la");
    }

    #[test]
    fn short_arguments_share_a_block() {
        let t = one(assistant(
            "",
            Some(("edit", r#"{"command":"str_replace","path":"a.py","old_str":"x","n":3}"#)),
        ));
        let blocks: Vec<_> =
            t.blocks.iter().map(|b| (b.heading.as_deref(), b.kind, b.text.to_string())).collect();
        assert_eq!(
            blocks,
            [
                (Some("edit"), "call", "command: str_replace\npath: a.py\nn: 3".to_owned()),
                (Some("old_str"), "call old", "x".to_owned()),
            ]
        );
    }

    #[test]
    fn long_observations_are_folded_cut_and_linked() {
        let turn = Turn { role: Role::Tool, content: "line\n".repeat(1_000), ..Turn::default() };
        let t = one(turn);
        assert!(!t.open);
        assert_eq!(t.size, "1,000 lines");
        assert_eq!(t.blocks[0].note.as_deref(), Some("600 more lines (3,000 bytes) not shown."));
        assert_eq!(t.raw, "/selections/s/raw?candidate=c&what=turn&turn=1");
    }

    #[test]
    fn turns_come_in_pages() {
        let trajectory = Trajectory { turns: vec![assistant("x", None); 90], ..Trajectory::default() };
        let v = view(&trajectory, "c", 40, &Links::new("s"));
        assert_eq!((v.items.len(), v.items[0].number, v.first), (40, 41, false));
        let more = v.more.unwrap();
        assert_eq!(more.words, "Turns 81 to 90 of 90");
        assert_eq!(more.url, "/selections/s/trajectory?candidate=c&from=80");
        assert!(view(&trajectory, "c", 1_000, &Links::new("s")).items.is_empty());
    }

    #[test]
    fn nothing_odd_panics() {
        let t = one(assistant("\u{1b}[31m", Some(("", "{}"))));
        assert_eq!(t.blocks.len(), 2);
        assert_eq!(one(Turn::default()).gist, "(empty)");
    }
}
