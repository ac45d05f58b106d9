use crate::{Digest, Fingerprint, parse};

/// Fingerprint of a patch of the file `name` with the hunk `body`.
fn print(name: &str, body: &str) -> Fingerprint {
    let digest = Digest::of(&parse(&format!("--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n{body}")));
    digest.exact()
}

fn nothing() -> Fingerprint {
    Digest::of_text("").exact()
}

fn same(name: &str, bodies: &[&str]) {
    for body in &bodies[1..] {
        assert_eq!(print(name, bodies[0]), print(name, body), "{name}:\n{}\n---\n{body}", bodies[0]);
    }
}

fn differ(name: &str, bodies: &[&str]) {
    for (at, a) in bodies.iter().enumerate() {
        for b in &bodies[at + 1..] {
            assert_ne!(print(name, a), print(name, b), "{name}:\n{a}\n---\n{b}");
        }
    }
}

#[test]
fn python_comments_blank_lines_and_spacing_go() {
    same(
        "x.py",
        &[
            "-x = 1\n+x = 2\n",
            "-x = 1  # one\n+x=2 # two\n",
            "-x = 1\n+\n+# why\n+x = 2\n+\n",
            "-x = 1\n+x  =  2;\n",
            "-x = 1\n+\"\"\"text\"\"\"\n+x = 2\n",
        ],
    );
    assert_eq!(print("x.py", "-x = 1\n+x = 1  # one\n"), nothing());
    assert_eq!(print("x.py", "-# a\n+# b\n"), nothing());
    assert_eq!(print("x.py", "+\n+\n"), nothing());
}

#[test]
fn python_strings_stay() {
    differ(
        "x.py",
        &["+x = 'a'\n", "+x = 'b'\n", "+x = '# a'\n", "+x = ' a'\n", "+x = b'a'\n", "+x = \"\"\"a\"\"\"\n"],
    );
    same("x.py", &["+x = 'a'\n", "+x = \"a\"\n"]);
    differ("x.py", &[" f(\n-    \"a\"\n+    \"b\"\n )\n", " f(\n-    \"a\"\n+    \"c\"\n )\n"]);
    differ(
        "x.py",
        &[
            "+x = 1\n+msg = _('Press this key to select more than one.')\n",
            "+x = 1\n+msg = _('Press that key to select more than one.')\n",
            "+x = 1\n",
        ],
    );
    // The inside of a data string, seen with its beginning.
    differ(
        "x.py",
        &[
            " x = \"\"\"\n-please do this\n+please do that now\n \"\"\"\n",
            " x = \"\"\"\n-please do this\n+please do that later\n \"\"\"\n",
        ],
    );
    // And without: nothing else changes, so the guess is taken back.
    differ(
        "x.py",
        &["-please do this now\n+please do that now\n", "-please do this now\n+please do it all now\n"],
    );
}

#[test]
fn python_indentation_stays() {
    differ("x.py", &["-    x = 1\n+    x = 2\n", "-    x = 1\n+        x = 2\n"]);
    differ("x.py", &["+if a:\n+    b\n+    c\n", "+if a:\n+    b\n+c\n"]);
    assert_ne!(print("x.py", "-    return x\n+        return x\n"), nothing());
    // How wide a new block is indented is formatting.
    same("x.py", &["+if a:\n+    b\n+    if c:\n+        d\n", "+if a:\n+  b\n+  if c:\n+     d\n"]);
}

#[test]
fn python_wrapping_goes() {
    same(
        "x.py",
        &[
            "+x = f(a, b)\n+y = 1\n",
            "+x = f(a,\n+      b)\n+y = 1\n",
            "+x = f(\n+    a,\n+    b,\n+)\n+y = 1\n",
            "+x = f(a, \\\n+    b)\n+y = 1\n",
        ],
    );
    assert_eq!(print("x.py", "-x = f(a, b)\n+x = f(\n+    a,\n+    b,\n+)\n"), nothing());
    differ("x.py", &["+x = (a,)\n", "+x = (a)\n"]);
    differ("x.py", &["+x = a\n+b\n", "+x = a\n+    b\n"]);
}

#[test]
fn python_docstrings_go() {
    let with = "+def f(x):\n+    \"\"\"Return x.\n+\n+    More about x = 1.\n+    \"\"\"\n+    return x\n";
    same("x.py", &["+def f(x):\n+    return x\n", with, "+def f(x):\n+    'Return x.'\n+    return x\n"]);
    // Inside one, with its beginning, its end or neither in sight.
    same(
        "x.py",
        &[
            " def f(x):\n     \"\"\"Return x.\n-    x = 1\n+    x = 2\n     \"\"\"\n-    return 1\n+    return 2\n",
            "-    Give the first one.\n+    Give the second one.\n     \"\"\"\n-    return 1\n+    return 2\n",
            "-    x = 1\n+    x = 2\n     see the other one.\n     \"\"\"\n-    return 1\n+    return 2\n",
            "-    return 1\n+    return 2\n",
        ],
    );
    same(
        "x.py",
        &["+x = 1\n", "+    :param x: the value\n+x = 1\n", "+Give the first of them all.\n+x = 1\n"],
    );
    // A string that runs code or is data is none.
    differ("x.py", &["+f'{a()}'\n+x = 1\n", "+x = 1\n"]);
}

#[test]
fn java() {
    let name = "src/main/java/A.java";
    same(
        name,
        &[
            "+  int f() { return 1; }\n",
            "+  /** Gives\n+   * one.\n+   */\n+  int f()\n+  {\n+      return 1; // one\n+  }\n",
            "+\tint f() {\n+\n+\t\treturn 1;\n+\t}\n",
        ],
    );
    differ(name, &["+  a = \"x\";\n", "+  a = \"y\";\n", "+  a = \"// x\";\n", "+  a = \"/* x */\";\n"]);
    same(name, &["   * @param x\n-  * one\n+  * two\n    */\n-  f(1);\n+  f(2);\n", "-  f(1);\n+  f(2);\n"]);
    assert_eq!(print(name, "-  f(a, b);\n+  f(\n+      a,\n+      b);\n"), nothing());
}

#[test]
fn javascript_and_typescript() {
    for name in ["x.js", "x.ts", "x.tsx"] {
        same(
            name,
            &[
                "+const f = (a) => a / 2;\n",
                "+// half\n+const f = (a) => a/2 // half\n",
                "+/* half */ const f =\n+  (a) => a / 2;\n",
            ],
        );
        differ(name, &["+a = /[/*]/.test(b)\n", "+a = /[/*]x/.test(b)\n"]);
        differ(name, &["+a = `x\n+  // y\n+`\n", "+a = `x\n+  // z\n+`\n"]);
        differ(name, &["+a = 'http://x'\n", "+a = 'http://y'\n"]);
        same(name, &["+f({\n+  a: 1,\n+});\n", "+f({ a: 1 });\n"]);
    }
}

#[test]
fn go_rust_c_and_cpp() {
    same(
        "x.go",
        &["+func f() int { return 1 }\n", "+// f gives one.\n+func f() int {\n+\treturn 1 /* one */\n+}\n"],
    );
    differ("x.go", &["+a := `//x`\n", "+a := `//y`\n"]);
    same(
        "src/x.rs",
        &[
            "+fn f<'a>(x: &'a str) -> char { '\"' }\n",
            "+/// Gives.\n+fn f<'a>(x: &'a str) -> char {\n+    '\"' // quote\n+}\n",
        ],
    );
    differ("src/x.rs", &["+let a = r#\"x // \"y\"#;\n", "+let a = r#\"x // \"z\"#;\n"]);
    same("src/x.rs", &["+/* a /* b */ c */\n+f();\n", "+f();\n"]);
    for name in ["x.c", "x.cpp", "x.h"] {
        same(
            name,
            &[
                "+int f(void) { return *p; }\n",
                "+/* one\n+ * two\n+ */\n+int f(void)\n+{\n+\treturn *p; // three\n+}\n",
            ],
        );
        differ(name, &["+#define A \"// x\"\n", "+#define A \"// y\"\n"]);
        differ(name, &["+char c = '\\'';\n+g(1);\n", "+char c = '\\'';\n+g(2);\n"]);
    }
    differ("x.cpp", &["+auto a = R\"(x // y)\";\n", "+auto a = R\"(x // z)\";\n"]);
    same("x.cpp", &["+int a = 1'000; // x\n", "+int a = 1'000;\n"]);
}

#[test]
fn languages_without_a_grammar() {
    same("x.rb", &["+a = 1\n", "+# one\n+a = 1 # one\n"]);
    same("x.kt", &["+val a = 1\n", "+// one\n+val a = 1 /* one */\n"]);
    same("x.php", &["+$a = 1;\n", "+# one\n+$a = 1; // one\n"]);
    differ("x.php", &["+$a = '#';\n", "+$a = '# a';\n"]);
    // Nothing is known of it, so everything counts, indentation too.
    differ("Makefile.x", &["+a b\n", "+a b # c\n", "+  a b\n"]);
    same("Makefile.x", &["+a b\n", "+a   b  \n"]);
}

#[test]
fn names_of_files_matter() {
    assert_ne!(print("x.py", "+a = 1\n"), print("y.py", "+a = 1\n"));
}

#[test]
fn lines_that_cancel() {
    // A diff that is longer than it need be.
    same("x.py", &["-a\n+b\n c\n", "-a\n-c\n+b\n+c\n"]);
    assert_eq!(print("x.go", "-a := f(b,\n-\tc)\n+a := f(b, c)\n"), nothing());
}

#[test]
fn code_after_the_end_of_a_docstring_stays() {
    // The hunk begins inside the docstring; its last line may look like code.
    for last in ["float or ndarray[float]", "(1, 20)", "x = f(a)", ">>> f(a)", "text.", "with the following:"]
    {
        let body = format!(
            "     -------\n     {last}\n     \"\"\"\n+    return len(self.steps)\n     if unit is None:\n"
        );
        assert_eq!(print("x.py", &body), print("x.py", "+    return len(self.steps)\n"), "{last}");
    }
    let above =
        " def f(a):\n+    if a:\n+        return f(b)\n     \"\"\"\n     Get a field for it.\n     \"\"\"\n";
    assert_eq!(print("x.py", above), print("x.py", "+    if a:\n+        return f(b)\n"));
    let next = "     (1, 20)\n     \"\"\"\n+    x = 1\n     def f():\n         \"\"\"Text.\n";
    assert_eq!(print("x.py", next), print("x.py", "+    x = 1\n"));
    // And one that begins with the opening quotes on a line of their own.
    for first in ["def f(a):", "class A:", "        b=None):", "    ) -> int:"] {
        let body = format!(
            " {first}\n     \"\"\"\n-    x = 1\n+    x = 2\n     Returns it.\n     \"\"\"\n+    y = 1\n"
        );
        assert_eq!(print("x.py", &body), print("x.py", "+    y = 1\n"), "{first}");
    }
}
