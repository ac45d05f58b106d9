//! What a patch shows by itself and against its issue.

use patch::{FileChange, FileClass, FilePatch, FlagKind, LineKind, Patch};

use super::{
    Facts, flag,
    issue::Issue,
    log,
    shapes::{self, Marks},
    text::{self, Words},
};

/// What was counted in the source files of a patch; in all files where none is source.
#[derive(Debug, Default)]
struct Counts {
    added: f64,
    removed: f64,
    blank: f64,
    comments: f64,
    comment_words: f64,
    docstrings: f64,
    hunks: f64,
    indent: f64,
    longest: f64,
    long_lines: f64,
    repeated: f64,
    context: f64,
    marks: Marks,
    removed_marks: Marks,
}

/// A patch, taken apart.
#[derive(Debug, Default)]
pub(super) struct Change {
    counts: Counts,
    /// Words of added, removed and surrounding code.
    added: Words,
    removed: Words,
    around: Words,
    /// Identifiers likewise.
    added_names: Words,
    removed_names: Words,
    around_names: Words,
    /// Words of changed paths.
    path_words: Words,
    /// Text of the added code, for messages.
    added_text: String,
    /// Changed source files: path, and the first old line and length of each hunk.
    files: Vec<(String, Vec<(u32, u32)>)>,
    /// Names after the `@@`.
    sections: Words,
    by_class: [f64; FileClass::ALL.len()],
    added_by_class: [f64; FileClass::ALL.len()],
    new_files: f64,
    new_sources: f64,
    deleted: f64,
    broken: bool,
    empty: bool,
}

impl Change {
    /// Takes a patch apart.
    pub(super) fn of(patch: &Patch) -> Self {
        let mut change = Self {
            empty: patch.is_empty(),
            broken: [FlagKind::WrongCount, FlagKind::BadHunkHeader, FlagKind::BadLine, FlagKind::Truncated]
                .into_iter()
                .any(|kind| patch.has_flag(kind)),
            ..Self::default()
        };
        let has_source = patch.files.iter().any(|file| file.class == FileClass::Source);
        for file in &patch.files {
            let class = file.class.index();
            change.by_class[class] += 1.0;
            change.added_by_class[class] += file.added() as f64;
            change.new_files += flag(file.change == FileChange::Added);
            change.deleted += flag(file.change == FileChange::Deleted);
            if file.class == FileClass::Source || !has_source {
                change.new_sources += flag(file.change == FileChange::Added);
                change.read(file);
            }
        }
        change
    }

    fn read(&mut self, file: &FilePatch) {
        text::add_words(&mut self.path_words, file.path());
        let hunks = file.hunks.iter().map(|hunk| (hunk.old_start, hunk.old_len)).collect();
        self.files.push((file.path().to_owned(), hunks));
        let mut comment = shapes::Comments::default();
        for hunk in &file.hunks {
            self.counts.hunks += 1.0;
            text::add_identifiers(&mut self.sections, &hunk.section);
            let mut seen = rustc_hash::FxHashSet::default();
            let mut run = 0.0_f64;
            for line in &hunk.lines {
                let code = line.text.trim();
                if line.kind != LineKind::Added {
                    run = 0.0;
                }
                if line.kind == LineKind::Context {
                    self.counts.context += 1.0;
                    text::add_words(&mut self.around, code);
                    text::add_identifiers(&mut self.around_names, code);
                    continue;
                }
                if code.is_empty() {
                    self.counts.blank += flag(line.kind == LineKind::Added);
                    continue;
                }
                if line.kind == LineKind::Removed {
                    self.counts.removed += 1.0;
                    text::add_words(&mut self.removed, code);
                    text::add_identifiers(&mut self.removed_names, code);
                    self.counts.removed_marks.add(code);
                    continue;
                }
                match comment.is_comment(code, file.path()) {
                    shapes::Comment::Docstring => {
                        self.counts.docstrings += 1.0;
                        continue;
                    }
                    shapes::Comment::Line => {
                        self.counts.comments += 1.0;
                        self.counts.comment_words += text::identifiers(code).count() as f64;
                        continue;
                    }
                    shapes::Comment::Code => {}
                }
                run += 1.0;
                self.counts.longest = self.counts.longest.max(run);
                self.counts.added += 1.0;
                self.counts.repeated += flag(!seen.insert(code));
                let indent = line.text.len() - line.text.trim_start().len();
                self.counts.indent = self.counts.indent.max(indent as f64);
                self.counts.long_lines += flag(line.text.len() > 100);
                text::add_words(&mut self.added, code);
                text::add_identifiers(&mut self.added_names, code);
                self.counts.marks.add(code);
                if self.added_text.len() < 1 << 16 {
                    self.added_text.push_str(code);
                    self.added_text.push('\n');
                }
            }
        }
    }

    /// Facts of the patch by itself.
    pub(super) fn facts(&self, facts: &mut Facts) {
        let c = &self.counts;
        facts.put("p_empty", flag(self.empty));
        if self.empty {
            return;
        }
        facts.put("p_broken", flag(self.broken));
        facts.put("p_added", log(c.added));
        facts.put("p_removed", log(c.removed));
        facts.put("p_remove_share", c.removed / (c.added + c.removed + 1.0));
        facts.put("p_only_adds", flag(c.removed == 0.0));
        facts.put("p_one_line", flag(c.added <= 1.0 && c.removed <= 1.0));
        facts.put("p_blank", log(c.blank));
        facts.put("p_comment_share", c.comments / (c.comments + c.added + 1.0));
        facts.put("p_comments", log(c.comments));
        facts.put("p_comment_words", log(c.comment_words));
        facts.put("p_docstrings", log(c.docstrings));
        facts.put("p_hunks", log(c.hunks));
        facts.put("p_density", log(c.added / c.hunks.max(1.0)));
        facts.put("p_indent", log(c.indent));
        facts.put("p_longest", log(c.longest));
        facts.put("p_long_lines", log(c.long_lines));
        facts.put("p_repeated", log(c.repeated));
        facts.put("p_context", (c.context / c.hunks.max(1.0)).min(20.0));
        let name = |class: FileClass| match class {
            FileClass::Source => ("p_sources", "p_sources_added"),
            FileClass::Test => ("p_tests", "p_tests_added"),
            FileClass::Reproduction => ("p_scratch", "p_scratch_added"),
            FileClass::Config => ("p_config", "p_config_added"),
            FileClass::Docs => ("p_docs", "p_docs_added"),
            FileClass::Generated => ("p_generated", "p_generated_added"),
        };
        for class in FileClass::ALL {
            let (files, added) = name(class);
            facts.put(files, log(self.by_class[class.index()]));
            if class != FileClass::Source {
                facts.put(added, log(self.added_by_class[class.index()]));
            }
        }
        facts.put("p_no_source", flag(self.by_class[FileClass::Source.index()] == 0.0));
        facts.put("p_one_source", flag(self.by_class[FileClass::Source.index()] == 1.0));
        facts.put("p_new_files", log(self.new_files));
        facts.put("p_new_sources", log(self.new_sources));
        facts.put("p_deleted", log(self.deleted));
        for (name, count) in Marks::NAMES.into_iter().zip(c.marks.counts) {
            facts.put(name, count / (c.added + 2.0));
        }
        for (name, count) in Marks::REMOVED_NAMES.into_iter().zip(c.removed_marks.counts) {
            facts.put(name, log(count));
        }
        let names = self.added_names.len() as f64;
        let known = |name: &&u64| self.around_names.contains(*name) || self.removed_names.contains(*name);
        facts.put("p_names", log(names));
        facts.put("p_new_names", 1.0 - self.added_names.iter().filter(known).count() as f64 / (names + 1.0));
        let kept = self.removed_names.intersection(&self.added_names).count() as f64;
        if !self.removed_names.is_empty() {
            facts.put("p_names_kept", kept / self.removed_names.len() as f64);
        }
    }

    /// Facts of the patch against the issue.
    pub(super) fn against(&self, issue: &Issue, facts: &mut Facts) {
        if self.empty || issue.words.is_empty() {
            return;
        }
        let best = |of: &dyn Fn(&str) -> f64| self.files.iter().map(|(path, _)| of(path)).fold(0.0, f64::max);
        facts.put("i_file_named", best(&|path| issue.names(path)));
        if !issue.paths.is_empty() {
            let hit = self.files.iter().filter(|(path, _)| issue.names(path) > 0.0).count();
            facts.put("i_files_named_share", hit as f64 / self.files.len().max(1) as f64);
        }
        if !issue.frames.is_empty() {
            facts.put("i_in_trace", best(&|path| flag(issue.frame_in(path).is_some())));
            facts.put(
                "i_last_frame",
                best(&|path| issue.frame_in(path).map_or(0.0, |(at, _)| 1.0 / at as f64)),
            );
            facts.put("i_near_frame", flag(self.is_near_frame(issue)));
            let functions = issue.frames.iter().map(|(_, _, function)| text::hash(function.as_bytes()));
            facts.put(
                "i_frame_function",
                flag(functions.into_iter().any(|name| self.sections.contains(&name))),
            );
        }
        let mut put = |name, value: Option<f64>| {
            if let Some(value) = value {
                facts.put(name, value);
            }
        };
        put("i_code_added", text::share(&issue.code, &self.added_names));
        put("i_code_removed", text::share(&issue.code, &self.removed_names));
        put("i_code_around", text::share(&issue.code, &self.around_names));
        put(
            "i_code_sections",
            (!self.sections.is_empty()).then(|| text::share(&self.sections, &issue.identifiers)).flatten(),
        );
        put("i_added_told", text::share(&self.added_names, &issue.identifiers));
        put("i_removed_told", text::share(&self.removed_names, &issue.identifiers));
        put("i_around_told", text::share(&self.around_names, &issue.identifiers));
        put("i_added_words", text::share(&self.added, &issue.words));
        put("i_removed_words", text::share(&self.removed, &issue.words));
        put("i_around_words", text::share(&self.around, &issue.words));
        put("i_path_words", text::share(&self.path_words, &issue.words));
        put("i_words_added", text::share(&issue.words, &self.added));
        let mut new = self.added_names.clone();
        new.retain(|name| !self.around_names.contains(name) && !self.removed_names.contains(name));
        put("i_new_told", text::share(&new, &issue.identifiers));
        put("i_errors", text::share(&issue.errors, &self.added_names));
        if !issue.quoted.is_empty() {
            let met =
                issue.quoted.iter().filter(|message| self.added_text.contains(message.as_str())).count();
            facts.put("i_quoted", met as f64 / issue.quoted.len() as f64);
        }
    }

    /// Whether a hunk lies within ten lines of a frame of a traceback.
    fn is_near_frame(&self, issue: &Issue) -> bool {
        self.files.iter().any(|(path, hunks)| {
            let Some((_, line)) = issue.frame_in(path) else { return false };
            hunks.iter().any(|&(start, length)| line + 10 >= start && line <= start + length + 10)
        })
    }

    /// Names of the changed source files without folders, for what the run says of them.
    pub(super) fn file_names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(path, _)| path.rsplit('/').next().unwrap_or(path))
    }
}
