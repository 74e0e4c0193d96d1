"""C and C++ programs built against an installed tree, as any user would build them."""

import os
import platform
import shutil
import subprocess

import pytest

WARNINGS = ["-Wall", "-Wextra", "-pedantic", "-Werror"]


def pkg_config(prefix, *arguments):
    environment = {**os.environ, "PKG_CONFIG_PATH": f"{prefix}/lib/pkgconfig"}
    command = ["pkg-config", *arguments, "twolayernet"]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()


@pytest.fixture(scope="session")
def consumers(root, installed, tmp_path_factory):
    """The programs: linked to the shared and to the static library."""
    directory = tmp_path_factory.mktemp("consumers")
    sources = root / "Tests/Consumers"
    shared = pkg_config(installed, "--cflags", "--libs") + [f"-Wl,-rpath,{installed}/lib"]
    static = ["-static"] + pkg_config(installed, "--static", "--cflags", "--libs")
    for name, compiler, standard, source, flags in [
        ("c", "cc", "c99", "consumer.c", shared),
        ("c-static", "cc", "c99", "consumer.c", static),
        ("cpp", "c++", "c++17", "consumer.cpp", shared),
    ]:
        command = [compiler, f"-std={standard}", "-g", *WARNINGS, str(sources / source), "-o", str(directory / name)]
        subprocess.run(command + flags, check=True)
    return directory


@pytest.mark.parametrize("name", ["c", "c-static"])
def test_c_consumer(consumers, digits, tmp_path, name):
    command = [consumers / name, digits, tmp_path / "mnist.pth", tmp_path / "trainer.pth", "20"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    correct, rows = (int(word) for word in output.split(" of "))
    assert rows == 360 and correct / rows > 0.9
    assert sorted(os.listdir(tmp_path)) == ["mnist.pth", "trainer.pth"]


def test_cpp_consumer(consumers):
    output = subprocess.run([consumers / "cpp"], check=True, capture_output=True, text=True).stdout.splitlines()
    loss, is_right = output[0].split()
    assert float(loss) < 0.01 and is_right == "1"
    assert "features" in output[1]


def test_c_consumer_under_valgrind(consumers, digits, tmp_path):
    if not shutil.which("valgrind"):
        pytest.skip("valgrind is not installed")
    command = ["valgrind", "-q", "--leak-check=full", "--errors-for-leak-kinds=all", "--error-exitcode=99"]
    command += [consumers / "c", digits, tmp_path / "mnist.pth", tmp_path / "trainer.pth", "2"]
    # valgrind knows no AVX-512.
    result = subprocess.run(
        command, env={**os.environ, "TLN_INSTRUCTION_SET": "avx2"}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_a_processor_without_avx_gives_the_same_bits(consumers, digits, tmp_path):
    """No code for a higher instruction set may have slipped into the baseline: it would die here."""
    if not shutil.which("qemu-x86_64") or platform.machine() != "x86_64":
        pytest.skip("qemu-user is not installed, or this is no x86-64")
    files = []
    for name, emulator in [("native", []), ("nehalem", ["qemu-x86_64", "-cpu", "Nehalem"])]:
        directory = tmp_path / name
        directory.mkdir()
        files.append(directory / "mnist.pth")
        subprocess.run([*emulator, consumers / "c", digits, files[-1], directory / "trainer.pth", "3"], check=True)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_cmake_consumer(root, installed, tmp_path):
    if not shutil.which("cmake"):
        pytest.skip("cmake is not installed")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(consumer CXX)\n"
        "find_package(twolayernet 0.1 REQUIRED)\n"
        f"add_executable(consumer {root}/Tests/Consumers/consumer.cpp)\n"
        "target_link_libraries(consumer PRIVATE twolayernet::twolayernet)\n"
    )
    build = tmp_path / "build"
    subprocess.run(["cmake", "-S", tmp_path, "-B", build, f"-DCMAKE_PREFIX_PATH={installed}"], check=True)
    subprocess.run(["cmake", "--build", build], check=True)
    subprocess.run([build / "consumer"], check=True)


def test_uninstall_leaves_nothing(root, tmp_path):
    for target in ["install", "uninstall"]:
        arguments = ["PREFIX=/usr", f"DESTDIR={tmp_path}"]
        subprocess.run(["make", "-s", target, *arguments], cwd=root, check=True)
        files = [path for path in tmp_path.rglob("*") if not path.is_dir()]
        assert bool(files) == (target == "install"), files
