//! What is counted in a patch.

use patch::LineKind;

use super::{
    paths::Kind,
    words::{KEYWORDS, Mark, has},
};

macro_rules! counts {
    ($($(#[$doc:meta])* $field:ident = $name:literal),* $(,)?) => {
        /// Counts over a patch, most of them over its deciding part: the source files, where there are any.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub(crate) struct Counts {
            $($(#[$doc])* pub(crate) $field: f64,)*
            /// Added lines that hold a word of each keyword group.
            pub(crate) keywords: [f64; KEYWORDS.len()],
        }

        impl Counts {
            /// A count by its name.
            pub(crate) fn get(&self, name: &str) -> Option<f64> {
                match name {
                    $($name => Some(self.$field),)*
                    _ => KEYWORDS.iter().position(|known| *known == name).map(|at| self.keywords[at]),
                }
            }
        }
    };
}

counts! {
    /// Files.
    files = "files",
    /// Source files.
    nsrc = "nsrc",
    /// Test files.
    ntest = "ntest",
    /// Documents.
    ndoc = "ndoc",
    /// Configuration files.
    ncfg = "ncfg",
    /// Scratch files.
    nscr = "nscr",
    /// Other files.
    noth = "noth",
    /// Added lines of source files, of whatever kind.
    addsrc = "addsrc",
    /// Removed lines of source files.
    remsrc = "remsrc",
    /// Added lines of tests.
    addtest = "addtest",
    /// Removed lines of tests.
    remtest = "remtest",
    /// Added lines of documents.
    adddoc = "adddoc",
    /// Added lines of scratch files.
    addscr = "addscr",
    /// Hunks.
    hunks = "hunks",
    /// Added lines of code.
    added = "A",
    /// Removed lines of code.
    removed = "R",
    /// Added comment lines.
    com_add = "com_add",
    /// Removed comment lines.
    com_rem = "com_rem",
    /// Added blank lines.
    blank = "blank",
    /// Added lines that print or break into a debugger.
    pr = "pr",
    /// Added lines with a note of work to be done.
    todo = "todo",
    /// Added lines that catch everything.
    broad = "broad",
    /// Added definitions.
    defs = "defs",
    /// Added conditions.
    cond = "cond",
    /// Added lines that raise.
    raises = "raises",
    /// Added returns.
    rets = "rets",
    /// Added imports.
    imps = "imps",
    /// Added lines that ask for types or attributes.
    attrs = "attrs",
    /// Deepest indentation of an added line.
    maxind = "maxind",
    /// Characters of added code.
    addchars = "addchars",
    /// Longest run of added code.
    run = "run",
    /// Deleted files.
    deleted = "deleted",
    /// New deciding files.
    newsrc = "newsrc",
    /// Added lines that end in white space.
    trail = "trail",
    /// Added lines longer than a hundred characters.
    longl = "longl",
    /// Lines that only change their white space.
    reind = "reind",
    /// Added assertions in tests.
    asserts = "asserts",
    /// Added definitions in tests.
    testdefs = "testdefs",
    /// New test files.
    newtest = "newtest",
    /// Words in added comments.
    comwords = "comwords",
    /// Added lines of docstrings.
    docl = "docl",
    /// Added lines of white space only.
    wsblank = "wsblank",
    /// Added lines that repeat an earlier one.
    dupl = "dupl",
    /// Removed definitions.
    remdefs = "remdefs",
    /// Hunks without code.
    comhunks = "comhunks",
    /// How deep the added code nests.
    nest = "nest",
    /// Tokens of added code.
    ntok = "ntok",
    /// Different identifiers in added code.
    nid = "nid",
    /// Those that stand neither in the context nor in removed lines.
    nnovel = "nnovel",
    /// 1 where a hunk's lines contradict its header, so that `git apply` refuses the patch.
    broken = "broken",
}

impl Counts {
    pub(super) fn count_file(&mut self, kind: Kind) {
        *match kind {
            Kind::Source => &mut self.nsrc,
            Kind::Config => &mut self.ncfg,
            Kind::Other => &mut self.noth,
            Kind::Doc => &mut self.ndoc,
            Kind::Test => &mut self.ntest,
            Kind::Scratch => &mut self.nscr,
        } += 1.0;
    }

    pub(super) fn count_line(&mut self, kind: Kind, line: LineKind) {
        match (kind, line) {
            (Kind::Source, LineKind::Added) => self.addsrc += 1.0,
            (Kind::Source, LineKind::Removed) => self.remsrc += 1.0,
            (Kind::Test, LineKind::Added) => self.addtest += 1.0,
            (Kind::Test, LineKind::Removed) => self.remtest += 1.0,
            (Kind::Doc, LineKind::Added) => self.adddoc += 1.0,
            (Kind::Scratch, LineKind::Added) => self.addscr += 1.0,
            _ => {}
        }
    }

    pub(super) fn count_marks(&mut self, marks: u64) {
        let of = |mark| f64::from(u8::from(has(marks, mark)));
        self.pr += of(Mark::Debug);
        self.todo += of(Mark::Todo);
        self.broad += of(Mark::Broad);
        self.defs += of(Mark::Definition);
        self.cond += of(Mark::Condition);
        self.raises += of(Mark::Raise);
        self.rets += of(Mark::Return);
        self.imps += of(Mark::Import);
        self.attrs += of(Mark::Reflection);
        for (at, count) in self.keywords.iter_mut().enumerate() {
            *count += f64::from(u8::from(marks & (1 << (Mark::FirstKeyword as usize + at)) != 0));
        }
    }
}
