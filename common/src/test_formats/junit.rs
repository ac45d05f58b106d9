//! JUnit XML, which most test runners can write.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::{Results, add};
use crate::TestStatus;

/// Why a JUnit file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JunitError {
    /// The XML is broken; the position is in bytes.
    #[error("junit xml is broken at byte {position}: {reason}")]
    Xml {
        /// Where, in bytes from the start.
        position: u64,
        /// What the parser says.
        reason: String,
    },
    /// It is XML without a `testsuite`.
    #[error("the xml has no `testsuite` element, so it is no junit report")]
    NotJunit,
}

/// Reads the results out of a JUnit report. A test's name is `classname::name`, or `name` without a class. A case with
/// `failure` failed, with `error` could not run, with `skipped` was skipped; a case without any of them ran and passed.
///
/// # Errors
///
/// When the XML is broken or is no JUnit report: a half-read report would make tests that failed look unknown.
pub fn junit(xml: &str) -> Result<Results, JunitError> {
    let mut reader = Reader::from_str(xml.trim_start_matches('\u{feff}').trim_start());
    reader.config_mut().check_end_names = true;
    let mut results = Results::new();
    let (mut suite, mut case): (bool, Option<(String, TestStatus)>) = (false, None);
    loop {
        let event = reader.read_event().map_err(|error| broken(&reader, &error))?;
        match event {
            Event::Start(ref tag) | Event::Empty(ref tag) => {
                let closed = matches!(event, Event::Empty(_));
                match tag.local_name().as_ref() {
                    "testsuite" | "testsuites" => suite = true,
                    "testcase" => {
                        let name = case_name(tag, &reader)?;
                        if closed {
                            add(&mut results, &name, case_status(tag, &reader)?);
                        } else {
                            case = Some((name, case_status(tag, &reader)?));
                        }
                    }
                    word => {
                        if let (Some((_, status)), Some(found)) = (&mut case, verdict(word)) {
                            *status = worse(*status, found);
                        }
                    }
                }
            }
            Event::End(ref tag) if tag.local_name().as_ref() == "testcase" => {
                if let Some((name, status)) = case.take() {
                    add(&mut results, &name, status);
                }
            }
            Event::Eof if case.is_some() => {
                let position = reader.buffer_position();
                return Err(JunitError::Xml {
                    position,
                    reason: "the file ends inside a test case".to_owned(),
                });
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if suite { Ok(results) } else { Err(JunitError::NotJunit) }
}

fn broken(reader: &Reader<&[u8]>, error: &dyn std::fmt::Display) -> JunitError {
    JunitError::Xml { position: reader.buffer_position(), reason: error.to_string() }
}

fn verdict(element: &str) -> Option<TestStatus> {
    match element {
        // Surefire's reruns: a flaky test passed in the end, a rerun that failed did not.
        "failure" | "rerunFailure" => Some(TestStatus::Failed),
        "error" | "rerunError" => Some(TestStatus::Error),
        "skipped" => Some(TestStatus::Skipped),
        _ => None,
    }
}

fn worse(a: TestStatus, b: TestStatus) -> TestStatus {
    match (a, b) {
        (TestStatus::Failed, _) | (_, TestStatus::Failed) => TestStatus::Failed,
        (TestStatus::Error, _) | (_, TestStatus::Error) => TestStatus::Error,
        (_, other) => other,
    }
}

fn case_name(tag: &BytesStart<'_>, reader: &Reader<&[u8]>) -> Result<String, JunitError> {
    let name = attribute(tag, reader, "name")?.unwrap_or_default();
    let class = attribute(tag, reader, "classname")?.unwrap_or_default();
    Ok(if class.is_empty() { name } else { format!("{class}::{name}") })
}

/// Some runners (googletest, CTest) say in an attribute that a case did not run.
fn case_status(tag: &BytesStart<'_>, reader: &Reader<&[u8]>) -> Result<TestStatus, JunitError> {
    Ok(match attribute(tag, reader, "status")?.as_deref() {
        Some("notrun" | "disabled" | "skipped") => TestStatus::Skipped,
        Some("fail" | "failed") => TestStatus::Failed,
        _ => TestStatus::Passed,
    })
}

fn attribute(tag: &BytesStart<'_>, reader: &Reader<&[u8]>, name: &str) -> Result<Option<String>, JunitError> {
    let found = tag.try_get_attribute(name).map_err(|error| broken(reader, &error))?;
    let Some(found) = found else { return Ok(None) };
    let text = found.normalized_value(XmlVersion::default()).map_err(|error| broken(reader, &error))?;
    Ok(Some(text.into_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use TestStatus::{Error, Failed, Passed, Skipped};

    #[test]
    fn every_kind_of_case_is_read() {
        let xml = r#"<?xml version="1.0"?><testsuites><testsuite name="s" tests="6">
            <testcase classname="a.B" name="ok" time="0.1"/>
            <testcase classname="a.B" name="bad&lt;T&gt;"><failure message="no">trace</failure></testcase>
            <testcase name="boom"><error/></testcase>
            <testcase name="later"><skipped/></testcase>
            <testcase name="off" status="notrun"/>
            <testcase name="talks"><system-out>FAILED</system-out></testcase>
        </testsuite></testsuites>"#;
        let expected = [
            ("a.B::ok", Passed),
            ("a.B::bad<T>", Failed),
            ("boom", Error),
            ("later", Skipped),
            ("off", Skipped),
            ("talks", Passed),
        ];
        let expected: Results =
            expected.into_iter().map(|(name, status)| (name.to_owned(), status)).collect();
        assert_eq!(junit(xml).unwrap(), expected);
    }

    #[test]
    fn broken_or_other_xml_is_an_error() {
        assert!(matches!(junit("<testsuite><testcase name='a'>"), Err(JunitError::Xml { .. })));
        assert!(matches!(junit("<testsuite><testcase name='a'></testsuite>"), Err(JunitError::Xml { .. })));
        assert!(matches!(junit("<html/>"), Err(JunitError::NotJunit)));
        assert!(matches!(junit(""), Err(JunitError::NotJunit)));
    }

    proptest! {
        #[test]
        fn no_xml_panics(text in r#"(<testsuite>|<testcase name="a"|/>|>|</testcase>|<failure/>|&|é|"){0,30}"#) {
            let _ = junit(&text);
        }
    }
}
