//! `ENTROPO_*` variables: for every key one that holds its value, and one that names a file with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use super::{ConfigError, Override};

/// The variable of a key: that of `limits.encoded_body` is `ENTROPO_LIMITS_ENCODED_BODY`.
fn variable(key: &str) -> String {
    format!("ENTROPO_{}", key.replace('.', "_").to_uppercase())
}

/// What the environment says of the `known` keys; variables of no key are ignored.
///
/// With `_FILE` behind its name a variable names a file that holds the value, as secrets are handed to containers; line
/// ends at the end of the file are left out. Where a key ends in `_file` itself, the variable is that key's.
pub(super) fn given<'a>(
    known: impl Iterator<Item = &'a String>,
    env: &BTreeMap<String, String>,
) -> Result<Vec<Override>, ConfigError> {
    let keys: Vec<(String, &String)> = known.map(|key| (variable(key), key)).collect();
    let names: BTreeSet<&str> = keys.iter().map(|(name, _)| name.as_str()).collect();
    let mut found = Vec::new();
    for (name, key) in &keys {
        let value = env.get(name);
        let file = format!("{name}_FILE");
        let path = env.get(&file).filter(|path| !path.is_empty() && !names.contains(file.as_str()));
        let (origin, value) = match (value, path) {
            (None, None) => continue,
            // An empty value beside a file is how a compose file passes on a variable that is not set.
            (Some(value), Some(_)) if !value.is_empty() => {
                return Err(ConfigError::Twice { name: name.clone(), file });
            }
            (_, Some(path)) => {
                let value = read(&file, path)?;
                (file, value)
            }
            (Some(value), None) => (name.clone(), value.clone()),
        };
        found.push(Override { key: (*key).clone(), value, origin });
    }
    Ok(found)
}

fn read(name: &str, path: &str) -> Result<String, ConfigError> {
    let path = PathBuf::from(path);
    let text = std::fs::read_to_string(&path).map_err(|source| ConfigError::ValueFile {
        name: name.to_owned(),
        path: path.clone(),
        source,
    })?;
    let value = text.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        // A secret that was meant to be there must not silently become none.
        return Err(ConfigError::EmptyValueFile { name: name.to_owned(), path });
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(env: &[(&str, &str)]) -> Result<Vec<(String, String, String)>, String> {
        let known = ["auth.admin_token", "limits.concurrency", "verifier.token", "verifier.token_file"];
        let known: Vec<String> = known.map(str::to_owned).into();
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let found = given(known.iter(), &env).map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|found| (found.key, found.value, found.origin)).collect())
    }

    #[test]
    fn values_come_from_variables_and_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let path = file.to_str().unwrap();
        std::fs::write(&file, " s p\r\n\n").unwrap();
        let found = look(&[
            ("ENTROPO_AUTH_ADMIN_TOKEN_FILE", path),
            ("ENTROPO_LIMITS_CONCURRENCY", "3"),
            ("ENTROPO_LIMITS_CONCURRENCY_FILE", ""),
            ("ENTROPO_ELSE_FILE", "/nowhere"),
        ]);
        let expected = [
            ("auth.admin_token", " s p", "ENTROPO_AUTH_ADMIN_TOKEN_FILE"),
            ("limits.concurrency", "3", "ENTROPO_LIMITS_CONCURRENCY"),
        ];
        let owned = |(key, value, origin): (&str, &str, &str)| (key.into(), value.into(), origin.into());
        assert_eq!(found, Ok(expected.map(owned).into()));
    }

    #[test]
    fn a_key_that_is_called_file_keeps_its_variable() {
        let found = look(&[("ENTROPO_VERIFIER_TOKEN_FILE", "/run/secrets/token")]).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0.as_str(), found[0].1.as_str()), ("verifier.token_file", "/run/secrets/token"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let path = file.to_str().unwrap();
        let missing = look(&[("ENTROPO_AUTH_ADMIN_TOKEN_FILE", path)]).unwrap_err();
        assert_eq!(missing, format!("ENTROPO_AUTH_ADMIN_TOKEN_FILE: cannot read {path}"));
        std::fs::write(&file, "\n").unwrap();
        let empty = look(&[("ENTROPO_AUTH_ADMIN_TOKEN_FILE", path)]).unwrap_err();
        assert!(empty.contains("is empty"), "{empty}");
        let both = [("ENTROPO_AUTH_ADMIN_TOKEN_FILE", path), ("ENTROPO_AUTH_ADMIN_TOKEN", "x")];
        let both = look(&both).unwrap_err();
        assert!(both.contains("both set") && !both.contains('x'), "{both}");
    }
}
