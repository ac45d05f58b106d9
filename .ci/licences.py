#!/usr/bin/env python3
"""Fails when a dependency's licence is not on the list of permissive ones.

Reads `cargo tree --prefix none -f '{p}|{l}'` on standard input: what is really built, not everything that the lock file
pins. cargo-deny does more, but takes minutes to install on a fresh machine; the
licence rule is the part that matters for who may use the project.
"""
import re
import sys

ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "MPL-2.0", "OpenSSL", "Unicode-3.0", "Unicode-DFS-2016", "Unlicense", "Zlib",
}


def allowed(expression):
    """Whether an SPDX expression can be satisfied with ALLOWED; `/` is the old spelling of OR."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    place = 0

    def peek():
        return tokens[place] if place < len(tokens) else None

    def take():
        nonlocal place
        place += 1
        return tokens[place - 1]

    def either():
        value = both()
        while peek() == "OR":
            take()
            value = both() or value
        return value

    def both():
        value = one()
        while peek() == "AND":
            take()
            value = one() and value
        return value

    def one():
        token = take() if peek() else ""
        if token == "(":
            value = either()
            take()
            return value
        if peek() == "WITH":
            take()
            token += " WITH " + take()
        return token in ALLOWED

    return either()


def main():
    packages = set()
    for line in sys.stdin:
        package, _, licence = line.strip().removesuffix(" (*)").partition("|")
        if package and "(/" not in package:
            packages.add((package, licence))
    refused = [f"{package}: {licence or 'no licence in its manifest'}" for package, licence in packages if not allowed(licence)]
    for line in sorted(refused):
        print(line)
    print(f"{len(packages)} packages, {len(refused)} with a licence that is not on the list")
    sys.exit(bool(refused) or not packages)


if __name__ == "__main__":
    assert allowed("MIT OR GPL-3.0") and allowed("(MIT OR X) AND Zlib") and not allowed("MIT AND GPL-3.0")
    main()
