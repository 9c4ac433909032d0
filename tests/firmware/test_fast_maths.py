"""The activations of the image that shows RTNeural at its fastest."""

import subprocess

import numpy as np
import pytest

from hardware.firmware_build import REPOSITORY, RTNEURAL

HOST = """
#include <cstdio>
#include <Eigen/Dense>
#include "engine/fast_maths.h"
int main() {
  Eigen::Matrix<float, 1, 1> x;
  while (std::scanf("%f", &x[0]) == 1) {
    const Eigen::Array<float, 1, 1> tanh = oddity::FastMaths::tanh(x), sigmoid = oddity::FastMaths::sigmoid(x);
    std::printf("%.9g %.9g\\n", tanh[0], sigmoid[0]);
  }
}
"""


@pytest.mark.skipif(not RTNEURAL.is_file(), reason="RTNeural is not here: git submodule update --init")
def test_fast_activations_are_as_exact_as_they_say(tmp_path):
    (tmp_path / "host.cc").write_text(HOST)
    eigen = RTNEURAL.parent.parent / "modules" / "Eigen"
    command = ["g++", "-std=c++17", "-O1", "-isystem", str(eigen), "-I", str(REPOSITORY / "firmware")]
    subprocess.run([*command, "host.cc", "-o", "host"], cwd=tmp_path, check=True)
    x = np.concatenate([np.linspace(-14, 14, 20001), [-1e30, -100.0, 0.0, 100.0, 1e30]])
    told = subprocess.run(
        ["./host"], cwd=tmp_path, input=" ".join(map(repr, map(float, x))), capture_output=True, text=True, check=True
    )
    tanh, sigmoid = np.array(told.stdout.split(), float).reshape(-1, 2).T
    np.testing.assert_allclose(tanh, np.tanh(x), atol=5.1e-5)
    np.testing.assert_allclose(sigmoid, 0.5 + 0.5 * np.tanh(x / 2), atol=2.6e-5)
