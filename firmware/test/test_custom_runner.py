"""PlatformIO's test runner for minitest.h, which prints Unity's lines but needs nothing from a registry."""

from platformio.test.exception import UnitTestError
from platformio.test.runners.unity import UnityTestRunner


class CustomTestRunner(UnityTestRunner):
    EXTRA_LIB_DEPS = None

    def configure_build_env(self, env):
        return env

    def stage_testing(self):
        super().stage_testing()
        if not self.options.without_testing and not self.test_suite.is_finished():
            raise UnitTestError("no summary line: the tests did not run to their end")
