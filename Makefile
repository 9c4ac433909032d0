# make demo   from a simulated capture to a verified pedal; build/demo/report.html
# make test   everything that CI runs
# make test-usb  of that, the pedal as a USB audio interface of a stock Linux
# make bench  the speed and accuracy tables, into build/bench
# make fuzz   fuzzes the USB stack and the host protocol, FUZZ_RUNS=5000000 times each
# make clean  remove what these made, but for the virtual environment

SHELL := /bin/bash
export PLATFORMIO_DISABLE_UPGRADE_CHECK := true
export PLATFORMIO_SETTING_ENABLE_TELEMETRY := no

bin := .venv/bin
packages := g++ git gcc-arm-none-eabi libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib qemu-system-arm
firmware_sources = $(shell git ls-files -- 'firmware/*.h' 'firmware/*.cc')

.PHONY: demo test test-usb bench fuzz clean setup packages

demo: setup
	$(bin)/pedal demo

# Where these are missing, as elsewhere than on Debian, the tests that need them are skipped.
test test-usb: packages += alsa-utils busybox-static dfu-util libngspice0 libportaudio2 qemu-system-x86 usbutils
test: setup .venv/tflite
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/clang-format --dry-run -Werror $(firmware_sources)
	ODDITY_FUZZ_CASES=100000 $(bin)/pytest -n auto --dist loadfile --no-loadscope-reorder --durations=40

test-usb: setup
	$(bin)/pytest tests/hardware/test_usb.py

bench: setup
	$(bin)/python benchmarks/cortex_m7.py
	$(bin)/python benchmarks/training_recipe.py

# What is new goes to build/fuzz/, and what ends the program; `program -merge=1` takes it into the corpus.
FUZZ_RUNS ?= 5000000
fuzz: packages += clang libclang-rt-dev
fuzz: setup
	@command -v clang++ >/dev/null || { echo "please install clang"; exit 2; }
	$(bin)/pio run -s -e fuzz
	for target in usb protocol; do \
	  mkdir -p build/fuzz/$$target && \
	  .pio/build/fuzz/program build/fuzz/$$target firmware/test/fuzz/corpus/$$target -artifact_prefix=build/fuzz/ \
	    -max_len=128 -runs=$(FUZZ_RUNS) -print_final_stats=1 -ignore_remaining_args=1 $$target || exit 1; \
	done

clean:
	rm -rf build .pio .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

setup: packages .venv/installed

# The system's packages: installed when missing, as root or through sudo; else named in one line.
packages:
	@if command -v dpkg-query >/dev/null; then \
	  missing=; \
	  for package in $(packages); do \
	    [ "$$(dpkg-query -W -f='$${db:Status-Status}' $$package 2>/dev/null)" = installed ] || missing="$$missing $$package"; \
	  done; \
	  python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$$missing python3-venv"; \
	  [ -z "$$missing" ] && exit 0; \
	  if [ "$$(id -u)" = 0 ]; then as=; elif command -v sudo >/dev/null; then as=sudo; \
	  else echo "please install:$$missing"; exit 2; fi; \
	  echo "installing:$$missing"; \
	  $$as apt-get update -qq && $$as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
	  for tool in g++ git arm-none-eabi-g++ qemu-system-arm; do \
	    command -v $$tool >/dev/null || { echo "please install $$tool"; exit 2; }; \
	  done; \
	fi

.venv/installed: pyproject.toml
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed"; exit 2; }
	python3 -m venv .venv
	$(bin)/pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

# Gigabytes, which the demo does not need. The last is built each night, and old nights go.
.venv/tflite: .venv/installed
	$(bin)/pip install -q --disable-pip-version-check -e '.[tflite]'
	-$(bin)/pip install -q --disable-pip-version-check -e '.[tflite-micro]'
	@touch $@
