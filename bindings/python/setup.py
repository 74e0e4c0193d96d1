"""Puts the library that `make lib` has built into the package, if there is one.

With it the wheel is for this platform and for every Python 3; without it, it is for any platform, and
finds the library on the system.
"""

import pathlib
import shutil

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

BUILT = pathlib.Path(__file__).resolve().parent.parent.parent / "dist"
LIBRARIES = sorted(BUILT.glob("libtwolayernet.so.?"))


class BuildWithLibrary(build_py):
    """Copies dist/libtwolayernet.so.N into the built package."""

    def run(self) -> None:
        super().run()
        for library in LIBRARIES:
            shutil.copy(library, pathlib.Path(self.build_lib) / "twolayernet" / library.name)


class DistributionWithLibrary(Distribution):
    """Belongs to a platform if there is a library in it."""

    def has_ext_modules(self) -> bool:
        return bool(LIBRARIES)


class WheelForEveryPython(bdist_wheel):
    """Belongs to no version of Python: the library is reached through ctypes."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


setup(
    cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": WheelForEveryPython},
    distclass=DistributionWithLibrary,
)
