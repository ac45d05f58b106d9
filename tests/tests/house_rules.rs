//! The rules of ARCHITECTURE.md and CONTRIBUTING.md that a machine can check.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::CommandFactory;

const CRATES: [&str; 11] = [
    "common", "patch", "store", "server", "kernels", "model", "trainer", "verifier", "selector", "cli",
    "tests",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file below a folder of the workspace with this ending, with its text.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    walkdir::WalkDir::new(root().join(folder))
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| {
            entry.depth() == 0 || !matches!(entry.file_name().to_str(), Some("target" | ".git"))
        })
        .map(Result::unwrap)
        .filter(|entry| {
            entry.file_type().is_file() && entry.path().extension().is_some_and(|end| end == ending)
        })
        .map(|entry| {
            let name = entry.path().strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}

/// The lines of a source file up to its unit tests.
fn without_tests(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).take_while(|(_, line)| line.trim() != "#[cfg(test)]")
}

/// Places in the sources of `crates` where a line that is no comment holds one of `words`.
fn uses(crates: &[&str], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for name in crates {
        for (file, text) in files(&format!("{name}/src"), "rs") {
            for (number, line) in without_tests(&text) {
                let code = line.trim_start();
                if !code.starts_with("//") && words.iter().any(|word| code.contains(word)) {
                    found.push(format!("{file}:{number}: {code}"));
                }
            }
        }
    }
    found
}

fn manifest(path: &Path) -> toml::Table {
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

fn none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn common_and_patch_do_no_io() {
    let words = [
        "std::fs",
        "std::net",
        "std::process",
        "std::env::var",
        "tokio::",
        "File::open",
        "println!",
        "eprintln!",
    ];
    none(&uses(&["common", "patch"], &words), "common and patch do no I/O");
}

#[test]
fn only_store_contains_sql() {
    let words = ["sqlx::", "SELECT ", "INSERT INTO", "DELETE FROM", "CREATE TABLE", " SET ", "PRAGMA "];
    none(&uses(&["common", "patch", "server", "selector", "cli"], &words), "only store contains SQL");
}

#[test]
fn only_server_knows_http_layers() {
    let words =
        ["tower_http::", "hyper::", "hyper_util::", "tower::limit", "tower::load_shed", "tower::timeout"];
    none(&uses(&["common", "patch", "store", "selector", "cli"], &words), "only server knows HTTP layers");
}

#[test]
fn only_kernels_may_be_unsafe() {
    for name in CRATES {
        let table = manifest(&root().join(name).join("Cargo.toml"));
        let own = table["lints"].get("rust").and_then(|lints| lints["unsafe_code"].as_str());
        let inherits = table["lints"].get("workspace").and_then(toml::Value::as_bool) == Some(true);
        assert!(if name == "kernels" { own == Some("deny") } else { inherits }, "{name}: [lints]");
    }
    let asks = concat!("expect(", "unsafe_code");
    let modules: Vec<String> = CRATES
        .iter()
        .flat_map(|name| files(name, "rs"))
        .filter(|(_, text)| text.contains(asks))
        .map(|(file, _)| file)
        .collect();
    let may = ["mapped", "memory", "product/mod", "product/tile", "product/turn", "raw"]
        .map(|name| format!("kernels/src/{name}.rs"));
    assert_eq!(modules, may, "unsafe stays in these modules");
}

#[test]
fn dependencies_point_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("common", &[][..]),
        ("patch", &[]),
        ("store", &["common"]),
        ("server", &["common", "store"]),
        ("kernels", &[]),
        ("model", &["kernels"]),
        ("trainer", &["common", "patch", "store", "server", "model", "verifier"]),
        ("verifier", &["common", "patch", "store", "server", "model"]),
        ("selector", &["common", "patch", "store", "server"]),
        ("cli", &["common", "patch", "store", "server", "model", "trainer", "verifier", "selector"]),
        ("tests", &["cli"]),
    ]);
    for name in CRATES {
        let table = manifest(&root().join(name).join("Cargo.toml"));
        let known: BTreeSet<&str> = table
            .get("dependencies")
            .and_then(toml::Value::as_table)
            .into_iter()
            .flat_map(toml::Table::keys)
            .map(String::as_str)
            .filter(|dependency| CRATES.contains(dependency))
            .collect();
        for dependency in known {
            assert!(allowed[name].contains(&dependency), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn versions_are_named_in_the_workspace_table_only() {
    for name in CRATES {
        let table = manifest(&root().join(name).join("Cargo.toml"));
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (dependency, value) in
                table.get(section).and_then(toml::Value::as_table).into_iter().flatten()
            {
                let inherits = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(inherits, "{name}: [{section}] {dependency} must be `{dependency}.workspace = true`");
            }
        }
    }
}

#[test]
fn every_member_is_checked_here() {
    let table = manifest(&root().join("Cargo.toml"));
    let members: BTreeSet<&str> = table["workspace"]["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member.as_str().unwrap())
        .collect();
    assert_eq!(members, CRATES.into_iter().collect());
}

#[test]
fn no_module_is_longer_than_500_lines() {
    let long: Vec<String> = CRATES
        .iter()
        .chain(&["fuzz"])
        .filter(|folder| root().join(folder).is_dir())
        .flat_map(|folder| files(folder, "rs"))
        .filter(|(_, text)| text.lines().count() > 500)
        .map(|(file, text)| format!("{file}: {} lines", text.lines().count()))
        .collect();
    none(&long, "no module is longer than 500 lines");
}

#[test]
fn nothing_is_stubbed_or_skipped() {
    // Put together so that this file does not hold them.
    let words = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[ign", "ore")];
    let found: Vec<String> = CRATES
        .iter()
        .flat_map(|folder| files(folder, "rs"))
        .filter(|(_, text)| words.iter().any(|word| text.contains(word)))
        .map(|(file, _)| file)
        .collect();
    none(&found, "no stubs and no skipped tests");
}

#[test]
fn both_databases_have_the_same_migrations() {
    let numbers = |folder: &str| -> BTreeSet<String> {
        let files = files(folder, "sql").into_iter();
        files.map(|(file, _)| file.rsplit('/').next().unwrap().to_owned()).collect()
    };
    let sqlite = numbers("migrations/sqlite");
    assert!(!sqlite.is_empty());
    assert_eq!(sqlite, numbers("migrations/postgres"));
}

#[test]
fn the_readme_names_every_command() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for command in cli::args::Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = command.get_name();
        assert!(readme.contains(&format!("entropo {name}")), "README.md does not mention `entropo {name}`");
    }
}

/// `cargo run -p cli`, the README's first command, must know which of the programs is meant.
#[test]
fn packages_with_several_programs_say_which_one_runs() {
    let ours = CRATES.iter().map(|name| (name, manifest(&root().join(name).join("Cargo.toml"))));
    let several: Vec<_> = ours
        .filter(|(name, manifest)| {
            let programs = manifest.get("bin").and_then(toml::Value::as_array).map_or(0, Vec::len);
            // Those of `tests` are run by scripts and tests.
            **name != "tests" && programs > 1
        })
        .collect();
    assert!(several.iter().any(|(name, _)| **name == "cli"), "nothing is checked");
    for (name, manifest) in several {
        let run = manifest["package"].get("default-run").and_then(toml::Value::as_str);
        assert_eq!(run, Some("entropo"), "{name}");
    }
}

#[test]
fn images_are_built_by_this_toolchain_and_set_what_there_is() {
    let read = |file: &str| std::fs::read_to_string(root().join(file)).unwrap();
    let toolchain: toml::Table = read("rust-toolchain.toml").parse().unwrap();
    let version = toolchain["toolchain"]["channel"].as_str().unwrap().rsplit_once('.').unwrap().0.to_owned();
    for file in ["deploy/Dockerfile", "deploy/docker-compose.yml"] {
        assert!(read(file).contains(&format!("rust:{version}-bookworm")), "{file} builds with another Rust");
    }
    let page = read("docs/configuration.md");
    let keys: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(key, _)| format!("ENTROPO_{}", key.replace('.', "_").to_uppercase()))
        .collect();
    let mut unknown = Vec::new();
    for file in ["deploy/Dockerfile", "deploy/docker-compose.yml"] {
        for line in read(file).lines() {
            // `NAME: value` in the one, `NAME=value` in the other.
            let name: String = line
                .trim_start()
                .trim_start_matches("ENV ")
                .chars()
                .take_while(|letter| letter.is_ascii_uppercase() || *letter == '_')
                .collect();
            let key = name.strip_suffix("_FILE").unwrap_or(&name);
            if name.starts_with("ENTROPO_") && !keys.contains(&name) && !keys.contains(key) {
                unknown.push(format!("{file}: {name}"));
            }
        }
    }
    none(&unknown, "images and compose set keys of docs/configuration.md");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut dead = Vec::new();
    for (file, text) in files(".", "md") {
        let folder = root().join(&file);
        let folder = folder.parent().unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap();
            if !path.is_empty() && !path.contains("://") && !folder.join(path).exists() {
                dead.push(format!("{file}: {target}"));
            }
        }
    }
    none(&dead, "links lead somewhere");
}
