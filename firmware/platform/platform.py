"""The PlatformIO platform of this repository."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

from platformio.dependencies import get_core_dependencies
from platformio.package.meta import PackageItem, PackageMetadata, PackageSpec
from platformio.platform.base import PlatformBase


class OddityPlatform(PlatformBase):
    def configure_default_packages(self, options, targets):
        self._adopt_scons_from_pip()
        return super().configure_default_packages(options, targets)

    def _adopt_scons_from_pip(self):
        """Make PlatformIO's tool-scons package from the SCons that pip installed, unless there is one.

        SCons is PlatformIO's only download; with this it needs none. A package that has a URI is one that the update
        checks leave alone; without a network they would hang.
        """
        requirement = get_core_dependencies()["tool-scons"]  # "~4.41101.0" is SCons 4.11.1
        scons = find_spec("SCons")
        installed = self.pm.get_package(PackageSpec(owner="platformio", name="tool-scons", requirements=requirement))
        if installed or not scons:
            return
        version = requirement.lstrip("~^=")
        path = Path(self.pm.package_dir, f"tool-scons@{version}")
        ignored = shutil.ignore_patterns("__pycache__", "docbook")
        shutil.copytree(Path(scons.origin).parent, path / "SCons", dirs_exist_ok=True, ignore=ignored)
        (path / "scons.py").write_text("from SCons.Script import main\nmain()\n")
        (path / "package.json").write_text(json.dumps({"name": "tool-scons", "version": version}))
        spec = PackageSpec(owner="platformio", name="tool-scons", uri=path.as_uri())
        PackageItem(str(path), PackageMetadata("tool", "tool-scons", version, spec)).dump_meta()
        self.pm.memcache_reset()
