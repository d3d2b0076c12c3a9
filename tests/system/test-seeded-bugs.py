#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The tests themselves: each seeded bug must make the test fail that the list `seeded-bugs` names, and that
test must pass without the bug."""
import os
import subprocess
import sys

from kit import main, skip, test
from kit.base import BUILDDIR, SRCDIR

FOLDER = os.path.join(SRCDIR, "tests", "system")


def read_list():
    with open(os.path.join(FOLDER, "seeded-bugs"), encoding="utf-8") as f:
        return [tuple(part.strip() for part in line.split(":", 2)) for line in f
                if line.strip() and not line.startswith("#")]


def built_with_bugs():
    with open(os.path.join(BUILDDIR, "config.h"), encoding="utf-8") as f:
        return "#define TOOZ_SEEDED_BUGS 1" in f.read()


def run(program, words, bug):
    """(passed, output); exactly one test must match."""
    environment = {**os.environ, "TOOZ_BUG": bug, "TOOZ_TEST_PATIENCE": "12"}
    done = subprocess.run([sys.executable, "-B", os.path.join(FOLDER, program), words], env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert "1..1\n" in done.stdout, f"{program}: {words} does not name one test:\n{done.stdout}"
    if "# SKIP" in done.stdout:
        skip(done.stdout.split("# SKIP", 1)[1].strip())
    return done.returncode == 0, done.stdout


def register(bug, program, words):
    @test(f"{bug}: \"{words}\" in {program} fails with it, and passes without")
    def _(_rig):
        if not built_with_bugs():
            skip("built without --enable-seeded-bugs")
        passed, output = run(program, words, "")
        assert passed, f"fails even without the bug:\n{output}"
        passed, output = run(program, words, bug)
        assert not passed, f"does not see the bug:\n{output}"
        assert "not ok 1" in output, output


for row in read_list():
    register(*row)

if __name__ == "__main__":
    main()
