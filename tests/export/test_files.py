"""The files that export writes: blob, header, RTNeural JSON, tables, and the command itself."""

import copy
import json
import re
import struct
import subprocess
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import assert_one_line_error

from export import activation_tables, blob, header, players, rtneural
from export.budget import WEIGHT_CAPACITY_BYTES, budget, largest
from export.cabinet import quantize_cabinet
from export.description import read_description
from export.eq_quantize import quantize_eq
from export.quantize import quantize, requantized
from hardware.firmware_build import RTNEURAL
from training import blend, model_file
from training.eq_block import EqNetwork
from training.model_file import Model


@pytest.fixture
def quantized(make_model, guitar):
    return quantize(make_model("lstm", 5, 1), guitar)


@pytest.fixture
def self_test(quantized, guitar):
    return blob.make_self_test(quantized, guitar)


def test_tables_in_the_firmware_are_current():
    assert activation_tables.HEADER.read_text() == activation_tables.header_text()


def test_blob_has_the_documented_layout(quantized, self_test):
    contents = blob.to_bytes(quantized, self_test, low_weights=True)
    magic, version, section_count, total, crc = struct.unpack_from("<4sHHII", contents)
    assert (magic, version, section_count, total) == (b"PEDL", blob.VERSION, 11, len(contents))
    assert crc == zlib.crc32(contents[16:])
    sections, offset = {}, 16
    while offset < len(contents):
        tag, size = struct.unpack_from("<4sI", contents, offset)
        sections[tag.decode()] = contents[offset + 8 : offset + 8 + size]
        offset += 8 + (size + 7) // 8 * 8
    assert list(sections) == ["DESC", "BIAS", "SCAL", "INPW", "RECW", "HEAD", "REST", "RECL", "BIAL", "TSTI", "TSTO"]
    assert sections["RECW"] == quantized.recurrent_weights.astype("<i2").tobytes()
    assert np.array_equal(np.frombuffer(sections["TSTO"], "<i4"), self_test.output)
    described = read_description(sections["DESC"])
    assert (described.name, described.architecture) == ("lstm-5", "lstm")
    assert [knob.name for knob in described.knobs] == ["knob 0"]
    assert described.knobs[0].default == 2.5


def test_int8_weights_take_half_the_flash(make_model, guitar):
    model = make_model("lstm", 40, layers=1)
    quantized = quantize(model, guitar)
    self_test = blob.make_self_test(quantized, guitar)
    int16, int8 = (
        len(blob.to_bytes(each, self_test)) for each in (quantized, requantized(quantized, model, weight_bits=8))
    )
    assert int16 - int8 == 40 * 4 * 40 - 2 * 40 * 4 - 8  # a byte a weight, less the steps and a section's head


def test_self_test_takes_the_loudest_part(quantized, guitar):
    quiet_then_loud = np.concatenate([0.01 * guitar[:2000], guitar[:2000]])
    samples = blob.make_self_test(quantized, quiet_then_loud).input * 2.0**-31
    assert np.abs(samples).max() > 0.1  # nothing of the quiet part


@pytest.mark.parametrize(("weight_bits", "sample_rate_hz"), [(16, 48_000), (8, 48_000), (16, 44_100)])
def test_header_holds_the_same_numbers_and_compiles(
    make_model, guitar, self_test, tmp_path, weight_bits, sample_rate_hz
):
    model = replace(make_model("lstm", 5, 1), sample_rate_hz=sample_rate_hz)
    quantized = quantize(model, guitar)
    arrays = {"kRecurrentWeights": quantized.recurrent_weights, "kBias": quantized.bias, "kRest": quantized.rest}
    if weight_bits == 8:
        quantized = requantized(quantized, model, weight_bits=8)
        arrays = {"kInt8Weights": quantized.int8_weights, "kInt8Steps": quantized.int8_steps}
    resampling = " == nullptr"
    if sample_rate_hz == 44_100:
        arrays["kResampling"] = quantized.resampling.kernel
        resampling = f"[1] == {quantized.resampling.kernel[1]}"
    text = header.text(quantized, self_test, "pedal export lstm-5.pt")
    assert "Made by `pedal export lstm-5.pt`" in text
    for name, array in arrays.items():
        body = re.search(rf"{name}\[\d+\] = {{([^}}]*)}}", text)[1]
        assert np.array_equal(np.array(body.replace(",", " ").split(), int), array.reshape(-1))
    first_weights = next(iter(arrays.values()))
    (tmp_path / "model.h").write_text(text)
    path = tmp_path / "main.cc"
    path.write_text(
        '#include "model.h"\nusing oddity::models::lstm_5::kModel;\n'
        "static_assert(kModel.description->hidden_size == 5 && kModel.description->cell_frac_bits[0] > 23);\n"
        f"static_assert(kModel.resampling{resampling});\n"
        f"static_assert(kModel.{'int8' if weight_bits == 8 else 'recurrent'}_weights[3] == {first_weights[3]});\n"
    )
    assert_compiles(path)


def test_header_of_a_morph_with_a_cabinet_compiles(guitar, tmp_path):
    torch.manual_seed(0)
    networks = [EqNetwork.from_name("eq-2x7") for _ in range(2)]
    models = [Model(f"amp{index}", "eq", network.config, network) for index, network in enumerate(networks)]
    quantized = quantize_eq(blend.with_knob(models, "ab"))
    cabinet = quantize_cabinet(np.array([0.5, 0.25, -0.125]))
    text = header.text(quantized, blob.make_self_test(quantized, guitar), "pedal export ab.pt", cabinet)
    assert "2 EQ blocks of 7 taps, a morph of 2" in text
    (tmp_path / "model.h").write_text(text)
    path = tmp_path / "main.cc"
    path.write_text(
        '#include "model.h"\nusing oddity::models::ab::kModel;\n'
        "static_assert(kModel.description->architecture == oddity::Architecture::kEq);\n"
        "static_assert(kModel.description->cabinet_partitions == 1 && kModel.eq.shape->amps == 2);\n"
        f"static_assert(kModel.eq.firs[1] == {quantized.firs.reshape(-1)[1]});\n"
        f"static_assert(kModel.eq.levels[20] == {quantized.levels[20]});\n"
        f"static_assert(kModel.cabinet_taps[127] == {cabinet.taps[0, 127]});\n"
        f"static_assert(kModel.cabinet_shifts[0] == {cabinet.shifts[0]});\n"
    )
    assert_compiles(path)


def assert_compiles(path):
    include = activation_tables.HEADER.parent.parent
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c++", f"-I{include}"]
    result = subprocess.run(["g++", *flags, str(path)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ['Marshall 1959 "Lead"', "5150", "é", ""])
def test_any_model_name_makes_a_header(quantized, self_test, name):
    assert re.fullmatch(r"[a-z_][a-z0-9_]*", header.identifier(name))
    assert "namespace" in header.text(type(quantized)(**{**vars(quantized), "name": name}), self_test, "")


def from_zero_state(model, audio):
    """As the players of others begin, the knob where it is by default."""
    with torch.inference_mode():
        knob = torch.tensor([[0.25]], dtype=torch.float64)
        return copy.deepcopy(model.network).double()(torch.from_numpy(audio)[None].double(), knob)[0][0].numpy()


@pytest.mark.parametrize("unit", ["lstm", "gru"])
def test_rtneural_json_computes_what_the_model_computes(make_model, guitar, unit):
    """A plain reading of the format, by its equations, in the gate order of RTNeural."""
    model = make_model(unit, 6, 1)
    document = json.loads(json.dumps(rtneural.document(model)))
    layer, dense = document["layers"]
    kernel, recurrent, bias = (np.array(array) for array in layer["weights"])
    assert kernel.shape == (2, kernel.shape[1]) and layer["shape"][-1] == 6
    hidden, cell, output = np.zeros(6), np.zeros(6), []
    for sample in guitar[:300]:
        from_input, from_state = np.array([sample, 0.25]) @ kernel, hidden @ recurrent
        if unit == "lstm":
            i, f, c, o = np.split(from_input + from_state + bias, 4)
            cell = cell / (1 + np.exp(-f)) + np.tanh(c) / (1 + np.exp(-i))
            hidden = np.tanh(cell) / (1 + np.exp(-o))
        else:
            (zx, rx, hx), (zh, rh, hh) = np.split(from_input + bias[0], 3), np.split(from_state + bias[1], 3)
            z, r = 1 / (1 + np.exp(-zx - zh)), 1 / (1 + np.exp(-rx - rh))
            hidden = (1 - z) * np.tanh(hx + r * hh) + z * hidden
        output.append((hidden @ np.array(dense["weights"][0]) + dense["weights"][1])[0] + sample)
    np.testing.assert_allclose(output, from_zero_state(model, guitar[:300]), atol=1e-9)


RTNEURAL_HOST = """
#define RTNEURAL_DEFAULT_ALIGNMENT 16
#include <cstdio>
#include <fstream>
#include "RTNeural/RTNeural.h"
int main(int, char** argv) {
  std::ifstream file(argv[1]);
  auto model = RTNeural::json_parser::parseJson<float>(file);
  model->reset();
  alignas(16) float in[8] = {0, 0.25f};
  while (std::scanf("%f", in) == 1) std::printf("%.9g\\n", model->forward(in) + in[0]);
}
"""


@pytest.mark.skipif(not RTNEURAL.is_file(), reason="RTNeural is not here: git submodule update --init")
def test_rtneural_itself_reads_the_json_and_plays_the_model(make_model, guitar, tmp_path):
    (tmp_path / "host.cc").write_text(RTNEURAL_HOST)
    include = ["-isystem", str(RTNEURAL.parent.parent)]
    command = ["g++", "-std=c++17", "-O1", *include, "-DRTNEURAL_USE_STL=1", "host.cc", "-o", "host"]
    subprocess.run(command, cwd=tmp_path, check=True)
    samples = " ".join(map(repr, map(float, guitar[:200])))
    for unit, layers in (("lstm", 1), ("gru", 1), ("lstm", 2), ("gru", 3)):
        model = make_model(unit, 6, 1, layers=layers)
        players.write("rtneural", model, tmp_path / "amp")
        played = subprocess.run(
            ["./host", "amp.rtneural.json"], cwd=tmp_path, input=samples, capture_output=True, text=True, check=True
        )
        output = np.array(played.stdout.split(), float)
        np.testing.assert_allclose(output, from_zero_state(model, guitar[:200]), atol=1e-5)


def test_budget_grows_with_the_model_and_names_the_largest():
    for unit in ("lstm", "gru"):
        for layers in (1, 2):
            size = int(re.split("[-x]", largest(unit, layers).name)[-1])
            assert budget(unit, size, layers).fits and not budget(unit, size + 1, layers).fits
            costs = [budget(unit, size, layers).cycles_per_sample for size in range(1, 65)]
            assert costs == sorted(costs)
        assert budget(unit, 20, precision="fine").cycles_per_sample > budget(unit, 20).cycles_per_sample
    assert budget("lstm", 64).weight_bytes == WEIGHT_CAPACITY_BYTES


def test_command_writes_all_files_and_prints_the_summary(make_model, tmp_path, run_pedal):
    model_file.save(tmp_path / "amp.pt", make_model("gru", 6))
    result = run_pedal("export", "--target", "daisy", "amp.pt", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"amp.pt", "amp.h", "amp.pedal", "amp.rtneural.json"}
    for word in ("SNR", "of 10,000 cycles", "flash", "memory", "int8", "<- this one"):
        assert word in result.stdout


def test_module_and_command_are_the_same_function(make_model, tmp_path, run_pedal):
    model_file.save(tmp_path / "amp.pt", make_model())
    by_module = subprocess.run(
        [sys.executable, "-m", "export", "--target", "daisy", "amp.pt"], cwd=tmp_path, capture_output=True, check=False
    )
    assert by_module.returncode == 0
    first = (tmp_path / "amp.pedal").read_bytes()
    assert run_pedal("export", "amp.pt", cwd=tmp_path).returncode == 0
    assert (tmp_path / "amp.pedal").read_bytes() == first


class RunsCode:
    def __reduce__(self):
        return print, ("this must never run",)


def test_a_bad_model_is_refused_and_nothing_is_overwritten(tmp_path, run_pedal):
    torch.save({"weights": RunsCode()}, tmp_path / "amp.pt")
    (tmp_path / "amp.pedal").write_text("what was there before")
    result = run_pedal("export", "amp.pt", cwd=tmp_path)
    assert_one_line_error(result, "amp.pt")
    assert "never run" not in result.stdout
    assert (tmp_path / "amp.pedal").read_text() == "what was there before"
    assert {path.name for path in tmp_path.iterdir()} == {"amp.pt", "amp.pedal"}
