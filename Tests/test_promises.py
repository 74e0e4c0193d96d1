"""The tests that SECURITY.md names exist, and every promise names one."""

import pathlib
import re


def rows(root: pathlib.Path) -> list[tuple[str, str]]:
    text = (root / "SECURITY.md").read_text()
    return re.findall(r"^\| (\*\*.*?) \| (.*) \|$", text, re.M)


def exists(root: pathlib.Path, test: str) -> bool:
    if "::" in test:
        file, name = test.split("::")
        return (root / file).exists() and f"def {name}(" in (root / file).read_text()
    suite, name = test.split(".")
    files = list((root / "Tests/TwoLayerNetTests").rglob(f"{suite}.swift"))
    return len(files) == 1 and f"func {name}(" in files[0].read_text()


def test_every_promise_has_its_tests(root: pathlib.Path) -> None:
    found = rows(root)
    assert len(found) >= 12
    for promise, tests in found:
        names = re.findall(r"`([^`]+)`", tests)
        assert names, promise
        for name in names:
            assert exists(root, name), f"{name}, of: {promise}"


def test_the_header_and_the_readme_lead_there(root: pathlib.Path) -> None:
    assert "SECURITY.md" in (root / "include/twolayernet.h").read_text()
    assert "SECURITY.md" in (root / "README.md").read_text()
