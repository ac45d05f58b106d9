#!/usr/bin/env python3
"""The plain way to pick a patch, as a measure for speed: normalise with the standard library, vote, take the winner.

usage: normalise_vote.py POOL.jsonl[.xz|.gz]

Per hunk and side the changed Python is parsed with `ast` and printed again, which drops comments and formatting;
what does not parse, and other languages, lose blank lines and trailing white space only. The most frequent normalised
patch of an issue wins, the earliest on a tie. Prints one JSON object with the counts and the seconds of each part.
"""
import ast
import collections
import gzip
import json
import lzma
import sys
import textwrap
import time


def lines(path):
    opener = {"xz": lzma.open, "gz": gzip.open}.get(path.rsplit(".", 1)[-1], open)
    with opener(path, "rt", encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield json.loads(line)


def plain(text):
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


def python(text):
    try:
        return ast.unparse(ast.parse(textwrap.dedent(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return plain(text)


def normalised(patch):
    """A hashable form of the change: per file and hunk, the old and the new side."""
    change, path, old, new = [], "", [], []

    def close():
        if old or new:
            tidy = python if path.endswith(".py") else plain
            change.append((path, tidy("\n".join(old)), tidy("\n".join(new))))
        old.clear()
        new.clear()

    for line in patch.splitlines():
        if line.startswith("diff --git ") or line.startswith("--- "):
            close()
        elif line.startswith("+++ "):
            path = line[4:].split("\t")[0].removeprefix("b/")
        elif line.startswith("@@"):
            close()
        elif line.startswith("+"):
            new.append(line[1:])
        elif line.startswith("-"):
            old.append(line[1:])
        elif line.startswith(" "):
            old.append(line[1:])
            new.append(line[1:])
    close()
    return tuple(change)


def main():
    start = time.perf_counter()
    pool = collections.defaultdict(list)
    for row in lines(sys.argv[1]):
        pool[row["instance_id"]].append((row["candidate_id"], row["patch"] or ""))
    read = time.perf_counter()
    picks = {}
    for instance, candidates in pool.items():
        votes = collections.Counter()
        first = {}
        for candidate, patch in candidates:
            key = normalised(patch)
            if key:
                votes[key] += 1
                first.setdefault(key, candidate)
        picks[instance] = first[votes.most_common(1)[0][0]] if votes else None
    done = time.perf_counter()
    print(json.dumps({
        "instances": len(pool),
        "patches": sum(map(len, pool.values())),
        "picked": sum(pick is not None for pick in picks.values()),
        "read_s": round(read - start, 3),
        "normalise_and_vote_s": round(done - read, 3),
    }))


if __name__ == "__main__":
    main()
