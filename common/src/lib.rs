//! What every EntroPO service and command speaks: [`Trajectory`], [`Candidate`], [`TestRun`],
//! [`Outcome`] and [`Selection`], and the readers of the formats that agents write.
//!
//! Nothing here opens a file or a socket; readers take any `BufRead`.

pub mod facts;
pub mod formats;
pub mod optimise;
pub mod outcome;
pub mod score;
pub mod selection;
pub mod test_formats;
pub mod test_run;
pub mod trajectory;

pub use outcome::Outcome;
pub use score::VerifierScore;
pub use selection::{Degraded, DropStage, Ranked, Selection, TestSummary, Votes};
pub use test_run::{TestKind, TestRun, TestStatus};
pub use trajectory::{Candidate, ExitStatus, Role, SourceFormat, ToolCall, Trajectory, Turn, UnknownFormat};
