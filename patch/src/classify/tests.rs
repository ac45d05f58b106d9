use super::*;

fn check(expected: FileClass, change: FileChange, paths: &[&str]) {
    for path in paths {
        assert_eq!(classify(path, change, false), expected, "{path}");
    }
}

#[test]
fn sources() {
    check(
        FileClass::Source,
        FileChange::Modified,
        &[
            "django/db/models/query.py",
            "django/test/client.py",
            "src/_pytest/python.py",
            "sympy/testing/runtests.py",
            "src/main/java/com/acme/Latest.java",
            "core/src/main/kotlin/Foo.kt",
            "packages/ui/src/button.tsx",
            "pkg/server/handler.go",
            "src/lib.rs",
            "lib/attestation.c",
            "include/x.h",
            "app/models/user.rb",
            "src/Contest.php",
            "django/contrib/admin/templates/admin/base.html",
            "index.js",
            "main.go",
            "simple.py",
            "sphinx/ext/doctest.py",
            "src/build/mod.rs",
            "static/css/base.css",
            "lib/inspect.js",
            "pylint/testutils/x.py",
        ],
    );
    check(
        FileClass::Source,
        FileChange::Added,
        &["src/reproject.py", "pkg/fix.go", "django/core/validate.py", "setuptools2.py"],
    );
}

#[test]
fn tests_in_many_languages() {
    check(
        FileClass::Test,
        FileChange::Modified,
        &[
            "tests/queries/tests.py",
            "test/test_x.py",
            "a/test_b.py",
            "a/b_test.py",
            "conftest.py",
            "astropy/wcs/tests/helper.py",
            "src/test/java/com/acme/FooTest.java",
            "x/FooTests.java",
            "x/TestFoo.java",
            "x/FooIT.java",
            "x/FooSpec.kt",
            "src/a.test.ts",
            "src/a.spec.js",
            "src/__tests__/a.js",
            "test/a.js",
            "pkg/a_test.go",
            "pkg/testdata/x.json",
            "tests/it.rs",
            "src/foo/tests.rs",
            "spec/a_spec.rb",
            "lib/a_test.rb",
            "tests/FooTest.php",
            "src/foo_unittest.cc",
            "lib/test/a.c",
            "test_simple.py",
        ],
    );
    check(
        FileClass::Test,
        FileChange::Added,
        &["tests/test_new.py", "tests/reproduce_1.py", "src/test/java/x/ReproTest.java"],
    );
}

#[test]
fn scripts_left_behind() {
    check(
        FileClass::Reproduction,
        FileChange::Added,
        &[
            "reproduce.py",
            "repro_bug.py",
            "reproduce_issue.py",
            "test_fix.py",
            "test_issue_123.py",
            "bug_reproduction.py",
            "replicate_bug.py",
            "debug.py",
            "verify_fix.py",
            "Main.java",
            "ReproduceIssue.java",
            "reproduce.sh",
            "repro.rs",
            "scripts/reproduce.py",
            "my_test.js",
            "example.py",
            "tmp1.py",
            "simple_test.py",
            "django_test.py",
        ],
    );
}

#[test]
fn config_docs_and_generated() {
    check(
        FileClass::Config,
        FileChange::Modified,
        &[
            "setup.py",
            "tox.ini",
            "pyproject.toml",
            "pom.xml",
            "build.gradle",
            "package.json",
            "Makefile",
            ".github/workflows/ci.yml",
            "requirements.txt",
            "requirements/dev.txt",
            ".gitignore",
            "Cargo.toml",
            "go.mod",
            "CMakeLists.txt",
            "webpack.config.js",
        ],
    );
    check(
        FileClass::Docs,
        FileChange::Modified,
        &[
            "README.md",
            "docs/ref/models.txt",
            "docs/ref/constraints.txt",
            "CHANGELOG",
            "doc/whatsnew/1.rst",
            "docs/conf.py",
            "changelog/123.bugfix.rst",
            "notes.txt",
        ],
    );
    check(
        FileClass::Generated,
        FileChange::Modified,
        &[
            "package-lock.json",
            "Cargo.lock",
            "go.sum",
            "static/jquery.min.js",
            "vendor/x/y.go",
            "node_modules/a/b.js",
            "src/__snapshots__/a.snap",
            "a/__pycache__/b.pyc",
            "x.pb.go",
            "x_pb2.py",
            "x.egg-info/PKG-INFO",
            "dist/a.js",
            "locale/de/django.mo",
            "x.py.orig",
        ],
    );
    assert_eq!(classify("plot.png", FileChange::Added, true), FileClass::Generated);
    assert_eq!(classify("", FileChange::Modified, false), FileClass::Source);
}
