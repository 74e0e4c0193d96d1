"""Puts the library that `make lib` has built beside the package, if there is one."""

import pathlib
import shutil

from setuptools import setup
from setuptools.command.build_py import build_py

BUILT = pathlib.Path(__file__).resolve().parent.parent.parent / "dist"


class BuildWithLibrary(build_py):
    """Copies dist/libtwolayernet.so.N into the built package."""

    def run(self) -> None:
        super().run()
        for library in BUILT.glob("libtwolayernet.so.?"):
            shutil.copy(library, pathlib.Path(self.build_lib) / "twolayernet" / library.name)


setup(cmdclass={"build_py": BuildWithLibrary})
