# SPDX-License-Identifier: BSD-2-Clause
"""The checks of tools/lint, each a (name, function); a function returns what is wrong, or ""."""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys

# 110 columns are the aim; over 130 there is always a better place to break a line.
COLUMNS, FILE_LINES, FUNCTION_LINES = 130, 1000, 100
TIDY_BUILD = "build-clang"


def sources(*patterns):
    return sorted(name for pattern in patterns for name in glob.glob(pattern, recursive=True))


def scripts(interpreter):
    """Files of tools, tests and .ci whose first line names the interpreter."""
    found = []
    for name in sources("tools/**", "tests/**", ".ci/*"):
        if os.path.isfile(name):
            with open(name, "rb") as f:
                if re.match(rb"#!.*\b" + interpreter + rb"\b", f.readline()):
                    found.append(name)
    return found


def command(*arguments):
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return "" if done.returncode == 0 else done.stdout.decode(errors="replace") or "failed"


def lines_of(name):
    with open(name, encoding="utf-8") as f:
        return f.read().split("\n")


def each_line(patterns, wrong):
    """What is wrong with single lines: wrong(line) says it, or not."""
    said = []
    for name in sources(*patterns):
        for number, line in enumerate(lines_of(name), 1):
            if problem := wrong(line):
                said.append(f"{name}:{number}: {problem}")
    return "\n".join(said)


C_FILES = ("src/**/*.[ch]", "tests/**/*.[ch]")


def long_lines():
    return each_line(("src/**/*.[ch]",), lambda line: f"over {COLUMNS} columns" if len(line.expandtabs(8)) > COLUMNS else "")


def trailing_space():
    return each_line(C_FILES, lambda line: "white space at the end" if line != line.rstrip() else "")


def typedefs():
    return each_line(("src/**/*.[ch]",), lambda line: "a typedef that is no function's" if re.match(r"typedef\b[^(]*$", line) else "")


def long_files():
    return "\n".join(f"{name}: over {FILE_LINES} lines" for name in sources("src/**/*.[ch]")
                     if len(lines_of(name)) > FILE_LINES + 1)


def long_functions():
    said = []
    for name in sources("src/**/*.c"):
        start = 0
        for number, line in enumerate(lines_of(name), 1):
            if line == "{":
                start = number
            elif line == "}" and start:
                if number - start > FUNCTION_LINES:
                    said.append(f"{name}:{start}: a function of {number - start} lines")
                start = 0
    return "\n".join(said)


def licences():
    return "\n".join(name for name in sources(*C_FILES, "tests/**/*.py")
                     if "SPDX-License-Identifier: BSD-2-Clause" not in "\n".join(lines_of(name)[:3]))


def python_compiles(name):
    try:
        with open(name, encoding="utf-8") as f:
            compile(f.read(), name, "exec")
    except SyntaxError as e:
        return f"{name}: {e}"
    return ""


def checks():
    found = [(f"lines of src under {COLUMNS} columns", long_lines), ("no white space at line ends", trailing_space),
             ("no typedef but of functions", typedefs), ("files of src under 1,000 lines", long_files),
             ("functions of src under 100 lines", long_functions), ("licence lines", licences)]
    found += [(f"bash -n {name}", lambda n=name: command("bash", "-n", n)) for name in scripts(b"bash")]
    found += [(f"sh -n {name}", lambda n=name: command("sh", "-n", n)) for name in scripts(b"sh")]
    found += [(f"python {name}", lambda n=name: python_compiles(n))
              for name in sorted({*scripts(b"python3"), *sources("tools/*.py", "tests/**/*.py")})]
    found += [(f"clang-tidy {name}", lambda n=name: command("clang-tidy", "-p", TIDY_BUILD, "--quiet", n))
              for name in sources("src/**/*.c")]
    return found


def main():
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
        for (name, _), said in zip(checks(), pool.map(lambda check: check[1](), checks())):
            print(f"{'FAIL' if said else 'ok  '} {name}", flush=True)
            if said:
                print(said)
                failed += 1
    print(f"{failed} checks failed" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
