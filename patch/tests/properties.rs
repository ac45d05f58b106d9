//! The properties that fingerprints promise, on generated files of every language with a grammar: two versions of a
//! file, the diff between them with any number of context lines, and edits of comments and blank lines on top.

use patch::{Digest, Patch, parse, similarity};
use proptest::prelude::*;
use similar::{Algorithm, TextDiff};

/// How a language writes what the generator needs; `#` in a template stands for a number.
#[derive(Debug, Clone, Copy)]
struct Dialect {
    file: &'static str,
    open: &'static str,
    close: &'static str,
    statements: &'static [&'static str],
    /// Comments on lines of their own; each entry is one comment of one or more lines, each line with its number: the
    /// diff of files with equal lines may take code for moved.
    comments: &'static [&'static str],
    trailing: &'static str,
}

const BRACES: &[&str] = &[
    "value_# = call_#(first, #);",
    "total_# = total_# * 2 - value_#[#];",
    "url_# = \"http://host/#\";",
    "text_# = \"/* no comment # */\";",
    "if (check_#(a)) { leave_#(); }",
];
const SLASHES: &[&str] = &[
    "// note #",
    "/* note # */",
    "/* of #\n * note #\n * and more of #\n * end # */",
    "/** of #\n * note #\n * end # */",
];
const DIALECTS: &[Dialect] = &[
    Dialect {
        file: "pkg/x.py",
        open: "def f_#(a, b):",
        close: "    return end_#",
        statements: &[
            "value_# = call_#(first, #)",
            "total_# = total_# * 2 - value_#[#]",
            "text_# = '# no comment #'",
            "url_# = \"http://host/#\"",
            "text_# = \"\"\"one #\n      two # \"quoted\"\"\"\"",
            "if check_#(a): leave_#()",
        ],
        comments: &[
            "# note #",
            "\"\"\"Note about the number #.\"\"\"",
            "\"\"\"Note about #.\n    More about it is in #.\n    End of #.\"\"\"",
        ],
        trailing: "  # note #",
    },
    Dialect {
        file: "src/main/java/X.java",
        open: "int f_#(int a) {",
        close: "} // end #",
        statements: BRACES,
        comments: SLASHES,
        trailing: " // note #",
    },
    Dialect {
        file: "src/x.js",
        open: "function f_#(a) {",
        close: "} // end #",
        statements: JS,
        comments: SLASHES,
        trailing: " // note #",
    },
    Dialect {
        file: "src/x.ts",
        open: "function f_#(a: number): number {",
        close: "} // end #",
        statements: JS,
        comments: SLASHES,
        trailing: " // note #",
    },
    Dialect {
        file: "src/x.tsx",
        open: "function f_#(a: number): number {",
        close: "} // end #",
        statements: JS,
        comments: SLASHES,
        trailing: " // note #",
    },
    Dialect {
        file: "pkg/x.go",
        open: "func f_#(a int) int {",
        close: "} // end #",
        statements: GO,
        comments: SLASHES,
        trailing: " // note #",
    },
    Dialect {
        file: "src/x.rs",
        open: "fn f_#<'a>(a: &'a str) {",
        close: "} // end #",
        statements: RUST,
        comments: SLASHES,
        trailing: " // note #",
    },
    Dialect {
        file: "src/x.c",
        open: "int f_#(int a) {",
        close: "} // end #",
        statements: C,
        comments: SLASHES,
        trailing: " // note #",
    },
    Dialect {
        file: "src/x.cpp",
        open: "int f_#(int a) {",
        close: "} // end #",
        statements: C,
        comments: SLASHES,
        trailing: " // note #",
    },
];
const JS: &[&str] = &[
    "const value_# = call_#(first, #);",
    "let re_# = /[/*]#/.test(a);",
    "let text_# = `one # // two`;",
    "let url_# = 'http://host/#';",
    "run_#((x) => x / # / 2);",
];
const GO: &[&str] = &[
    "value_# := call_#(first, #)",
    "raw_# := `one # // two`",
    "url_# := \"http://host/#\"",
    "if check_#(a) { leave_#() }",
];
const RUST: &[&str] = &[
    "let value_# = call_#(first, #);",
    "let quote_#: char = '\"';",
    "let raw_# = r#\"one # // \"two\"\"#;",
    "let url_# = \"http://host/#\";",
];
const C: &[&str] = &[
    "value_# = call_#(first, *p_#);",
    "char quote_# = '\\'';",
    "char *url_# = \"http://host/#\";",
    "#define MACRO_# \"// no comment #\"",
    "if (check_#(a)) { leave_#(); }",
];

/// One element of a file; every one has a number of its own, so that no two lines are the same and there is only one
/// sensible diff.
#[derive(Debug, Clone)]
struct Element {
    template: &'static str,
    number: usize,
    indent: usize,
    trailing: Option<usize>,
}

fn render(elements: &[Element], dialect: &Dialect) -> String {
    let mut out = String::new();
    for element in elements {
        let number = element.number.to_string();
        // In Rust's raw strings and C's macros the `#` next to a quote or a name is meant as it is.
        let text = element
            .template
            .replace("r#\"", "r\u{1}\"")
            .replace("\"#;", "\"\u{1};")
            .replace("#define", "\u{1}define");
        let text = text.replace("'# no", "'\u{1} no").replace("# note", "\u{1} note");
        let text = text.replace('#', &number).replace('\u{1}', "#");
        for (at, line) in text.split('\n').enumerate() {
            // Only first lines are indented by the generator, the rest of a string is data.
            let indent = if at == 0 || element.template.starts_with("/*") { element.indent } else { 0 };
            out.push_str(&" ".repeat(if line.is_empty() { 0 } else { indent }));
            out.push_str(line);
            if at + 1 == text.split('\n').count()
                && let Some(note) = element.trailing
            {
                out.push_str(
                    &dialect
                        .trailing
                        .replacen("# n", "\u{1} n", usize::from(dialect.trailing.contains("# n")))
                        .replace('#', &note.to_string())
                        .replace('\u{1}', "#"),
                );
            }
            out.push('\n');
        }
    }
    out
}

/// What a case is made of: numbers that pick templates and places.
#[derive(Debug, Clone)]
struct Plan {
    functions: Vec<Vec<usize>>,
    edits: Vec<(usize, usize, usize)>,
    noise: Vec<(usize, usize, usize)>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let triple = || (0_usize..1000, 0_usize..1000, 0_usize..1000);
    (
        prop::collection::vec(prop::collection::vec(0_usize..1000, 1..9), 1..5),
        prop::collection::vec(triple(), 1..5),
        prop::collection::vec(triple(), 0..6),
    )
        .prop_map(|(functions, edits, noise)| Plan { functions, edits, noise })
}

/// The old file, the new one, and the new one with other comments and blank lines.
fn versions(plan: &Plan, dialect: &Dialect) -> (String, String, String) {
    let mut next = 0;
    let mut element = |template, indent| {
        next += 1;
        Element { template, number: next, indent, trailing: None }
    };
    let mut old = Vec::new();
    for body in &plan.functions {
        old.push(element(dialect.open, 0));
        for pick in body {
            let template = match pick % 4 {
                0 => dialect.comments[pick / 4 % dialect.comments.len()],
                _ => dialect.statements[pick / 4 % dialect.statements.len()],
            };
            old.push(element(template, 4));
        }
        old.push(element(dialect.close, 0));
    }
    let mut new = old.clone();
    for (at, how, pick) in &plan.edits {
        let statement = element(dialect.statements[pick % dialect.statements.len()], 4);
        // Only statements change, so that braces and headers stay in balance.
        let places: Vec<usize> = (1..new.len()).filter(|at| new[*at].indent == 4).collect();
        let Some(&place) = places.get(at % places.len().max(1)) else { continue };
        match how % 3 {
            0 => new.insert(place, statement),
            1 => new[place] = statement,
            _ if places.len() > 1 && !dialect.comments.contains(&new[place].template) => {
                new.remove(place);
            }
            _ => new.insert(place, statement),
        }
    }
    // One edit that is certainly of code: what is only guessed to be a comment counts when nothing else changes.
    new.insert(1, element(dialect.statements[0], 4));
    let mut noisy = new.clone();
    for (at, how, pick) in &plan.noise {
        let place = 1 + at % noisy.len();
        match how % 3 {
            0 => noisy.insert(place, element("", 0)),
            1 => {
                let comment = dialect.comments[pick % dialect.comments.len()];
                // A string below a `return` at the end of a function is still a statement of its own.
                noisy.insert(place, element(comment, 4));
            }
            _ => {
                let number = element("", 0).number;
                let at = place.min(noisy.len() - 1);
                if !noisy[at].template.is_empty()
                    && !noisy[at].template.contains('*')
                    && !noisy[at].template.contains("\"\"\"")
                {
                    noisy[at].trailing = Some(number);
                }
            }
        }
    }
    (render(&old, dialect), render(&new, dialect), render(&noisy, dialect))
}

fn diff(file: &str, old: &str, new: &str, context: usize) -> String {
    let diff = TextDiff::configure().algorithm(Algorithm::Patience).diff_lines(old, new);
    diff.unified_diff().context_radius(context).header(&format!("a/{file}"), &format!("b/{file}")).to_string()
}

/// Everything in a digest that must not depend on how the diff was written down.
fn essence(text: &str) -> (String, String, Vec<u64>, Vec<u64>, Vec<u64>) {
    let digest = Digest::of_text(text);
    (
        digest.exact().to_string(),
        digest.file_set().to_string(),
        digest.added_lines().to_vec(),
        digest.removed_lines().to_vec(),
        digest.file_tokens().to_vec(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn context_width_does_not_matter(plan in plan(), context in 0_usize..11) {
        for dialect in DIALECTS {
            let (old, new, _) = versions(&plan, dialect);
            let (narrow, wide) = (diff(dialect.file, &old, &new, context), diff(dialect.file, &old, &new, 3));
            prop_assert_eq!(essence(&narrow), essence(&wide), "{}\n{}", narrow, wide);
        }
    }

    #[test]
    fn comments_and_blank_lines_do_not_matter(plan in plan(), context in 0_usize..6) {
        for dialect in DIALECTS {
            let (old, new, noisy) = versions(&plan, dialect);
            let (plain, noisy) = (diff(dialect.file, &old, &new, 3), diff(dialect.file, &old, &noisy, context));
            prop_assert_eq!(essence(&plain), essence(&noisy), "{}\n{}", plain, noisy);
        }
    }

    #[test]
    fn positions_and_file_order_do_not_matter(plan in plan(), shift in 0_u32..5000) {
        let parts: Vec<String> = DIALECTS.iter().map(|dialect| {
            let (old, new, _) = versions(&plan, dialect);
            diff(dialect.file, &old, &new, 3)
        }).collect();
        let backwards: String = parts.iter().rev().map(String::as_str).collect();
        prop_assert_eq!(essence(&parts.concat()), essence(&backwards));
        let mut moved = parse(&parts.concat());
        for hunk in moved.files.iter_mut().flat_map(|file| &mut file.hunks) {
            hunk.old_start += shift;
            hunk.new_start += shift;
            hunk.section = "somewhere else".to_owned();
        }
        let moved = Digest::of(&moved);
        prop_assert_eq!(moved.exact(), Digest::of_text(&parts.concat()).exact());
        prop_assert_eq!(similarity(&moved, &Digest::of_text(&backwards)), patch::Similarity::SAME);
    }

    #[test]
    fn indentation_file_names_and_strings_matter(plan in plan(), by in 1_usize..8) {
        let dialect = &DIALECTS[0];
        let (old, new, _) = versions(&plan, dialect);
        let text = diff(dialect.file, &old, &new, 3);
        let exact = |text: &str| Digest::of_text(text).exact();
        let last = text.lines().rfind(|line| line.starts_with("+    value_"));
        let Some(last) = last else { return Ok(()) };
        let indented = text.replace(last, &format!("+{}{}", " ".repeat(by), &last[1..]));
        prop_assert_ne!(exact(&text), exact(&indented));
        prop_assert_ne!(exact(&text), exact(&text.replace("pkg/x.py", "pkg/y.py")));
        let with = |content: &str| exact(&format!("{text}--- a/z.py\n+++ b/z.py\n@@ -1 +1 @@\n-a = 'x'\n+a = '{content}'\n"));
        prop_assert_ne!(with("y"), with("z"));
        prop_assert_ne!(with("y"), with(" y"));
    }

    #[test]
    fn similarity_is_reflexive_symmetric_and_bounded(one in plan(), other in plan(), which in 0..DIALECTS.len()) {
        let digest = |plan: &Plan| {
            let (old, new, _) = versions(plan, &DIALECTS[which]);
            Digest::of_text(&diff(DIALECTS[which].file, &old, &new, 3))
        };
        let (a, b) = (digest(&one), digest(&other));
        prop_assert_eq!(similarity(&a, &a), patch::Similarity::SAME);
        prop_assert_eq!(similarity(&a, &b), similarity(&b, &a));
        let both = similarity(&a, &b);
        prop_assert!((0.0..=1.0).contains(&both.lines) && (0.0..=1.0).contains(&both.tokens));
        let pool = patch::PoolStats::new(&[&a, &b, &a]);
        prop_assert_eq!(pool.similarity(0, 1), both);
        prop_assert_eq!(pool.similarity(0, 2), patch::Similarity::SAME);
    }

    #[test]
    fn anything_parses(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = Digest::of(&parse(&text));
    }

    #[test]
    fn anything_in_a_hunk_is_digested(lines in prop::collection::vec("[ +\\-@\\\\]?[-+@ \"'`/*#\\\\(){}\\[\\],:;a-zé\t]{0,12}", 0..30), which in 0..DIALECTS.len()) {
        let file = DIALECTS[which].file;
        let text = format!("--- a/{file}\n+++ b/{file}\n@@ -1,9 +1,9 @@\n{}", lines.join("\n"));
        let digest = Digest::of_text(&text);
        prop_assert_eq!(similarity(&digest, &digest), patch::Similarity::SAME);
    }

    #[test]
    fn damaged_patches_parse(plan in plan(), which in 0..DIALECTS.len(), cuts in prop::collection::vec((0_usize..4000, 0_usize..4), 1..5)) {
        let (old, new, _) = versions(&plan, &DIALECTS[which]);
        let mut lines: Vec<String> = diff(DIALECTS[which].file, &old, &new, 3).lines().map(str::to_owned).collect();
        for (at, how) in cuts {
            let at = at % lines.len().max(1);
            match how {
                0 if at < lines.len() => { lines.remove(at); }
                1 => lines.truncate(at),
                2 => lines.insert(at, "@@ -1,2 +1 @@".to_owned()),
                _ => lines.insert(at, "--- a/x".to_owned()),
            }
        }
        let _ = Digest::of(&parse(&lines.join("\n")));
    }
}

/// Patches round-trip through JSON, which is how they travel.
#[test]
fn patches_are_plain_data() {
    let patch = parse("--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n");
    let json = serde_json::to_string(&patch).expect("a patch serialises");
    assert_eq!(serde_json::from_str::<Patch>(&json).expect("and comes back"), patch);
    let digest = Digest::of(&patch);
    let json = serde_json::to_string(&digest).expect("a digest serialises");
    assert_eq!(serde_json::from_str::<Digest>(&json).expect("and comes back"), digest);
}

/// The seeds of the fuzz target, which show every form a patch can take, are read.
#[test]
fn fuzz_seeds_parse() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/patch");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("the seeds are there") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a seed");
        let patch = parse(&String::from_utf8_lossy(&bytes));
        files += patch.files.len();
        assert!(!patch.is_empty());
        assert_eq!(Digest::of(&patch), Digest::of(&patch));
    }
    assert_eq!(files, 13);
}
