//! Ids of issues and candidates whose file does not say them.

/// File endings that are not part of an id, longest first.
const ENDINGS: &[&str] = &[".gz", ".zst", ".xz", ".jsonl", ".ndjson", ".json", ".traj", ".pred", ".txt"];
/// File names that scaffolds give to the results of every run.
const EVERY_RUN: &[&str] = &["output", "preds", "all_preds", "predictions", "trajectory", "llm_messages"];
/// Names that say nothing about the issue.
const GENERIC: &[&str] = &[
    "output",
    "preds",
    "all_preds",
    "predictions",
    "traj",
    "trajectory",
    "trajectories",
    "report",
    "results",
    "candidates",
    "run",
    "attempt",
    "sample",
    "test_output",
    "patch",
    "session",
    "llm_messages",
];

/// An instance id in SWE-bench style (`owner__repo-123`) at the start of a name: the id and the rest of the name.
pub fn instance_in_name(name: &str) -> Option<(&str, &str)> {
    let owner = name.find("__").filter(|&at| at > 0)?;
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if !name[..owner].bytes().all(is_id) {
        return None;
    }
    let repo = owner + 2;
    let bytes = name.as_bytes();
    for (dash, _) in name[repo..].match_indices('-').map(|(at, dash)| (at + repo, dash)) {
        let digits = bytes[dash + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let end = dash + 1 + digits;
        let closed = bytes.get(end).is_none_or(|byte| !byte.is_ascii_alphanumeric());
        if dash > repo && digits > 0 && closed && name[repo..dash].bytes().all(is_id) {
            return Some((&name[..end], &name[end..]));
        }
    }
    None
}

/// What a file's name says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct NameIds {
    /// The issue; empty when the name says nothing.
    pub(super) instance: String,
    /// What tells the file from others of the same issue; empty when there is nothing.
    pub(super) candidate: String,
}

/// Takes a path apart: the last part in SWE-bench style is the issue, else the file name, or its folder when the file
/// name is a generic word, a number or a hash. What is left over names the candidate.
pub(super) fn ids_in_path(path: &str) -> NameIds {
    let path = path.replace('\\', "/");
    let mut parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
    let Some(file) = parts.pop() else { return NameIds::default() };
    let stem = stem(file);
    parts.push(stem);
    let at = parts.iter().rposition(|part| instance_in_name(part).is_some());
    let (at, instance) = match at {
        Some(at) => (at, instance_in_name(parts[at]).map_or("", |(id, _)| id)),
        // The file, else the folder that says more; a session is one of many of its folder.
        None => match parts.iter().rposition(|part| !is_generic(part)) {
            Some(at) => (at, parts[at]),
            None => return NameIds { instance: String::new(), candidate: parts.join("/") },
        },
    };
    let rest: Vec<&str> = parts
        .iter()
        .enumerate()
        .map(|(index, part)| match after(part, instance) {
            None if index == at => "",
            rest => rest.unwrap_or(part),
        })
        .filter(|part| !part.is_empty())
        .collect();
    NameIds { instance: instance.to_owned(), candidate: rest.join("/") }
}

/// What follows the instance at the start of a part of a path; `None` when it is not there as a whole.
fn after<'a>(part: &'a str, instance: &str) -> Option<&'a str> {
    let rest = part.strip_prefix(instance).filter(|_| !instance.is_empty())?;
    let name = rest.trim_start_matches(['-', '_', '.']);
    (rest.is_empty() || name.len() < rest.len()).then_some(name)
}

/// What names the candidates of a file that says the issues itself: its path without ending and issue.
pub(super) fn base_of_path(path: &str, instance: &str) -> String {
    let path = path.replace('\\', "/");
    let mut parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
    let Some(file) = parts.pop() else { return String::new() };
    parts.push(stem(file));
    let rest = parts.into_iter().map(|part| after(part, instance).unwrap_or(part));
    let mut rest: Vec<&str> = rest.filter(|part| !part.is_empty()).collect();
    // A folder a run, the same file name in each: the folder says it all.
    if rest.len() > 1 && rest.last().is_some_and(|last| EVERY_RUN.contains(last)) {
        rest.pop();
    }
    rest.join("/")
}

fn stem(file: &str) -> &str {
    let mut stem = file;
    while let Some(shorter) =
        ENDINGS.iter().find_map(|ending| stem.strip_suffix(ending)).filter(|s| !s.is_empty())
    {
        stem = shorter;
    }
    stem
}

fn is_generic(stem: &str) -> bool {
    let word = stem.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '-' | '_' | '.'));
    let word = word.to_ascii_lowercase();
    let is_hash = stem.len() >= 6
        && stem.bytes().all(|byte| byte.is_ascii_hexdigit())
        && stem.bytes().any(|b| b.is_ascii_digit());
    word.is_empty() || is_hash || word.starts_with("session_") || GENERIC.contains(&word.as_str())
}

/// The name of an issue in an image name: what follows the last dot (`…x86_64.django__django-1`), else all of it.
pub(super) fn instance_of_image(image: &str) -> &str {
    image.rsplit('.').next().filter(|name| !name.is_empty()).unwrap_or(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(path: &str) -> (String, String) {
        let ids = ids_in_path(path);
        (ids.instance, ids.candidate)
    }

    #[test]
    fn paths_say_the_issue_and_the_candidate() {
        let cases = [
            ("django__django-11099.traj", "django__django-11099", ""),
            ("runs/2/django__django-11099/django__django-11099.traj", "django__django-11099", "runs/2"),
            (
                "pool/astropy__astropy-6938/c422423e4f73.traj.json.gz",
                "astropy__astropy-6938",
                "pool/c422423e4f73",
            ),
            ("fasterxml__jackson-core-1133_attempt_2.traj", "fasterxml__jackson-core-1133", "attempt_2"),
            ("issue-17/issue-17.traj", "issue-17", ""),
            ("issue-17/attempt_3.traj", "issue-17", "attempt_3"),
            ("my-issue.traj", "my-issue", ""),
            (
                "issue-17/session_20251019_155858/trajectory.jsonl",
                "issue-17",
                "session_20251019_155858/trajectory",
            ),
            ("my issue/run 2/é.traj", "é", "my issue/run 2"),
            ("preds.json", "", "preds"),
            ("", "", ""),
        ];
        for (path, instance, candidate) in cases {
            assert_eq!(ids(path), (instance.to_owned(), candidate.to_owned()), "{path}");
        }
    }

    #[test]
    fn the_base_is_the_path_without_issue_and_endings() {
        assert_eq!(base_of_path("./a/output.jsonl.xz", ""), "a");
        assert_eq!(base_of_path("output.jsonl", ""), "output");
        assert_eq!(base_of_path("r1/x__y-1/x__y-1.pred", "x__y-1"), "r1");
        assert_eq!(base_of_path("", "x__y-1"), "");
        assert_eq!(base_of_path("aug/a.jsonl", "a"), "aug");
        assert_eq!(base_of_path("runs/x__y-12.traj", "x__y-1"), "runs/x__y-12");
    }

    #[test]
    fn images_end_in_the_instance() {
        assert_eq!(instance_of_image("r/sweb.eval.x86_64.django__django-1"), "django__django-1");
        assert_eq!(instance_of_image("namanjain12/pandas_final:abc"), "namanjain12/pandas_final:abc");
    }
}
