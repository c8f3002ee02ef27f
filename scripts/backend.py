"""Build Tallied with setuptools: with the playground's assets, and the README for an index.

A build backend in the tree, as "Dynamic build dependencies and other build_meta tweaks"
in setuptools' documentation describes it. A build that cannot get the assets fails, so
that no wheel is ever without them; but for an editable one, where they can be had later.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import playground
import readme
from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403

Config = dict[str, Any] | None

readme.write()  # before any hook reads the metadata


def get_requires_for_build_wheel(config_settings: Config = None) -> list[str]:
    """Return the requirements for building a wheel: npm, if there is none."""
    return build_meta.get_requires_for_build_wheel(config_settings) + _npm()


def get_requires_for_build_editable(config_settings: Config = None) -> list[str]:
    """Return the requirements for building an editable wheel."""
    return build_meta.get_requires_for_build_editable(config_settings) + _npm()


def get_requires_for_build_sdist(config_settings: Config = None) -> list[str]:
    """Return the requirements for building a source archive, which contains the assets."""
    return build_meta.get_requires_for_build_sdist(config_settings) + _npm()


def build_wheel(
    wheel_directory: str, config_settings: Config = None, metadata_directory: str | None = None
) -> str:
    """Build the wheel."""
    playground.bring_in()
    return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str, config_settings: Config = None, metadata_directory: str | None = None
) -> str:
    """Build the wheel that points to this checkout, which works without the playground, too."""
    with suppress(playground.AssetsError):
        playground.bring_in()
    return build_meta.build_editable(wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory: str, config_settings: Config = None) -> str:
    """Build the source archive."""
    playground.bring_in()
    return build_meta.build_sdist(sdist_directory, config_settings)


def _npm() -> list[str]:
    if not playground.missing() or playground.find_npm() is not None:
        return []
    lock = (playground.ROOT / "requirements" / "node.txt").read_text("utf-8")
    return [line.split()[0] for line in lock.splitlines() if "==" in line]
