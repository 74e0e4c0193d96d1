"""What the shipped library is made of: its symbols, what it needs, its size, its header."""

import re
import subprocess

import pytest


def declared(root):
    """The functions of the header."""
    text = re.sub(r"/\*.*?\*/", "", (root / "include/twolayernet.h").read_text(), flags=re.S)
    return sorted(re.findall(r"TLN_API[^;]*?\b(tln_\w+)\(", text))


def output(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def test_exported_symbols_are_those_of_the_header(root, library):
    lines = output("nm", "-D", "--defined-only", library).splitlines()
    assert sorted(line.split()[-1].split("@")[0] for line in lines) == declared(root)


def test_static_library_exports_the_same(root, library):
    lines = output("nm", "-g", "--defined-only", library.with_suffix(".a")).splitlines()
    assert sorted(line.split()[2] for line in lines if len(line.split()) == 3) == declared(root)


def test_needs_only_libc_libm_libz(library):
    dynamic = output("readelf", "-d", library)
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
    assert needed <= {"libc.so.6", "libm.so.6", "libz.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
    assert re.findall(r"\(SONAME\).*\[(.*)\]", dynamic) == ["libtwolayernet.so.0"]
    assert "RUNPATH" not in dynamic and "RPATH" not in dynamic


def test_is_hardened(library):
    headers = output("readelf", "-W", "-l", "-d", library)
    assert "GNU_RELRO" in headers and "BIND_NOW" in headers and "TEXTREL" not in headers
    assert re.search(r"GNU_STACK\s+\S+ \S+ \S+ \S+ \S+ RW ", headers)
    assert not re.search(r"LOAD .* RWE ", headers)
    assert "__stack_chk_fail" in imports(library)


def imports(library):
    lines = output("nm", "-D", "--undefined-only", library).splitlines()
    return {line.split()[-1].split("@")[0] for line in lines}


def test_never_prints_ends_or_takes_signals(library):
    """What it does not import it cannot call."""
    output_and_end = {"printf", "fprintf", "puts", "putchar", "fputs", "fwrite", "perror", "syslog", "stdout", "stderr"}
    output_and_end |= {"abort", "exit", "_exit", "_Exit", "quick_exit", "__assert_fail", "raise", "kill"}
    signals_and_more = {"signal", "sigaction", "setjmp", "longjmp", "fork", "system", "popen", "execve", "putenv"}
    signals_and_more |= {"setenv", "setlocale", "atexit", "__cxa_atexit", "pthread_atfork", "chdir", "umask"}
    assert imports(library) & (output_and_end | signals_and_more) == set()


def test_loading_does_little(library):
    """What `dlopen` has to do, counted: no time is measured here (`make footprint` does that)."""
    sections = output("readelf", "-W", "-S", library)
    sizes = {name: int(size, 16) for name, size in re.findall(r"\] (\.\S+)\s+\S+\s+\S+ \S+ (\S+)", sections)}
    # crti's frame_dummy; the message key's deletion and crti's.
    assert sizes.get(".init_array", 0) <= 8 and sizes.get(".fini_array", 0) <= 16
    assert (sizes[".rela.dyn"] + sizes[".rela.plt"]) / 24 <= 700
    # Thread-local memory of a loaded library comes from malloc, and its failure ends the process.
    assert "TLS" not in output("readelf", "-W", "-l", library)
    assert len(output("nm", "-D", "--defined-only", library).splitlines()) <= 64


def test_runs_on_older_systems(library):
    versions = re.findall(r"GLIBC_(\d+)\.(\d+)", output("nm", "-D", library))
    assert max((int(major), int(minor)) for major, minor in versions) <= (2, 34)


def test_is_small(library):
    """The promise is 500,000; this is a little more than what there is, so that growth is noticed."""
    assert library.resolve().stat().st_size <= 497_000


@pytest.mark.parametrize("compiler, standard", [("cc", "c99"), ("cc", "c11"), ("c++", "c++11"), ("c++", "c++17")])
def test_header_compiles_without_warnings(root, tmp_path, compiler, standard):
    source = tmp_path / ("header.c" if compiler == "cc" else "header.cpp")
    source.write_text("#include <twolayernet.h>\nint main(void) { return TLN_OK; }\n")
    flags = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", "-I", root / "include"]
    output(compiler, f"-std={standard}", *flags, source)


def test_version_is_the_same_everywhere(root, installed):
    header = (root / "include/twolayernet.h").read_text()
    numbers = [re.search(rf"TLN_VERSION_{part} (\d+)", header)[1] for part in ["MAJOR", "MINOR", "PATCH"]]
    version = ".".join(numbers)
    assert f'TLN_VERSION_STRING "{version}"' in header
    assert f"Version: {version}" in (installed / "lib/pkgconfig/twolayernet.pc").read_text()
    assert f"## {version}" in (root / "CHANGELOG.md").read_text()


def test_contains_what_third_party_lists(root):
    """Every symbol of the build has one of the origins in THIRD_PARTY.md."""
    unstripped = root / ".build-embedded/release/libtwolayernet.so"
    text = (root / "THIRD_PARTY.md").read_text()
    own_c = "".join(path.read_text() for path in root.glob("Sources/C*/*.c"))
    modules = "TwoLayerNet|Kernels|X86KernelsAVX2|X86KernelsAVX512|CABI"
    assert all(f"`{module}`" in text for module in modules.split("|"))
    strangers = []
    for line in output("nm", "--defined-only", unstripped).splitlines():
        name = line.split()[-1].split("@")[0]
        # Mangled names begin with $e or $s; S and s stand for Swift, a number and a name for a module.
        is_known = re.match(rf"\$[es](\d+({modules})|[Ss]|\d+Synchronization)|_?swift_|tln[skg]?_|__wrap_|OUTLINED_FUNCTION_", name)
        is_start = re.match(r"_(init|fini)$|_*(frame_dummy|do_global_dtors_aux|(de)?register_tm_clones)", name)
        is_linkers = re.match(r"__(dso_handle|TMC_\w+|FRAME_END__)$|_GLOBAL_OFFSET_TABLE_$|_DYNAMIC$|completed\.0$", name)
        is_static = re.search(rf"\b{re.escape(name)}\b", own_c)
        if not (is_known or is_start or is_linkers or is_static):
            strangers.append(name)
    assert strangers == []
