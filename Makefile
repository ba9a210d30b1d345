# make demo [VIDEO=path | CAMERA=0]   a video or camera through the nodes, results in demo_output/
# make test [PROCESSES=1]             everything that is tested, after its own set-up; three at a time
# make lint                           style, types, and who may import what
# make test-matrix                    the same with other Pythons, ROS, NumPy and TFLite runtimes
# make audit                          ask for known vulnerabilities of what is installed
# make build                          the environment and the ROS package, nothing more
# make clean                          remove what these have made
#
# One environment serves all of them: .venv. Where a ROS is sourced it uses that one, else the wheels
# of ROS 2 Jazzy from PyPI.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo test test-matrix lint audit build clean

VENV := $(CURDIR)/.venv
OUTPUT ?= demo_output
PROCESSES ?= 3

# A sourced ROS: its distribution is named, and it lies outside of our environment.
SOURCED := $(and $(ROS_DISTRO),$(filter-out $(VENV) $(VENV)/%,$(subst :, ,$(AMENT_PREFIX_PATH))))
ROS := $(if $(SOURCED),$(ROS_DISTRO),wheels)
MARKS := $(VENV)/act_ros
# With a sourced ROS the Python must be the one it was built for.
PYTHONS := python3 $(if $(SOURCED),,python3.13 python3.12 python3.11 python3.10)
PYTHON ?= $(shell for python in $(PYTHONS); do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null \
	&& echo $$python && break; done)

export PATH := $(VENV)/bin:$(PATH)
export AMENT_PREFIX_PATH := $(VENV)$(if $(SOURCED),:$(AMENT_PREFIX_PATH))
ifdef SOURCED
export LD_LIBRARY_PATH := $(VENV)/lib:$(LD_LIBRARY_PATH)
endif
# Leaks from programs that run in an environment with ROS wheels, and breaks those of another one.
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE

SOURCES := CMakeLists.txt LICENSE NOTICE package.xml setup.py \
	$(shell find act_ros config launch media models msg srv -type f ! -name '*.pyc')

# pip with its many lines in a file, shown when it fails.
pip = $(VENV)/bin/python -m pip $(1) > $@.log 2>&1 || { cat $@.log >&2; exit 1; }
# Install what setup.py declares for the given extras.
requirements = $(VENV)/bin/python -c \
	'import sys, setup; print("\n".join(setup.requirements(*sys.argv[1:])))' $(1) \
	> $@.txt && $(call pip,install -r $@.txt)

demo: build
	$(VENV)/bin/python -m act_ros.demo --output "$(OUTPUT)" \
		$(if $(VIDEO),--video "$(VIDEO)") $(if $(CAMERA),--camera "$(CAMERA)")

test: build $(MARKS)/$(ROS)-test
	$(VENV)/bin/python -m pytest test \
		$(if $(filter-out 1,$(PROCESSES)),-n $(PROCESSES) --dist loadgroup --no-loadscope-reorder) \
		$(PYTEST_ARGS)

test-matrix: $(MARKS)/$(ROS)-venv
	$(VENV)/bin/python .ci/matrix.py $(MATRIX_ARGS)

lint: $(MARKS)/$(ROS)-test
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m mypy
	$(VENV)/bin/lint-imports --no-cache --no-logo

audit: $(MARKS)/$(ROS)-test $(MARKS)/audit
	$(VENV)/bin/python .ci/audit.py $(VENV)/audit/bin/pip-audit

build: $(MARKS)/$(ROS)-built

clean:
	rm -rf $(VENV) build demo_output

# An environment made for another ROS is made anew: the two do not mix.
$(MARKS)/$(ROS)-venv:
	@[ -n '$(PYTHON)' ] || { echo 'make: Python 3.10 or newer is needed' >&2; exit 1; }
	@if [ ! -x $(VENV)/bin/python ] || ls $(MARKS)/*-venv >/dev/null 2>&1; then \
		echo 'Making the environment .venv ($(if $(SOURCED),ROS $(ROS),ROS 2 Jazzy from wheels))'; \
		$(PYTHON) -m venv --clear $(if $(SOURCED),--system-site-packages) $(VENV) || { \
			echo 'make: on Debian and Ubuntu: sudo apt install python3-venv' >&2; exit 1; }; \
	fi
	@mkdir -p $(@D)
	@$(call pip,install --upgrade pip 'setuptools>=78.1.1' 'wheel>=0.38.1')
	@touch $@

$(MARKS)/$(ROS)-robot: setup.py | $(MARKS)/$(ROS)-venv
	@$(CC) --version >/dev/null 2>&1 && $(CXX) --version >/dev/null 2>&1 || { \
		echo 'make: on Debian and Ubuntu: sudo apt install gcc g++' >&2; exit 1; }
	@$(VENV)/bin/python -c 'import pathlib, sys, sysconfig; sys.exit( \
		not pathlib.Path(sysconfig.get_path("include"), "Python.h").is_file())' || { \
		echo 'make: on Debian and Ubuntu: sudo apt install python3-dev' >&2; exit 1; }
	@echo 'Installing what the robot needs (about a minute)'
	@$(call requirements,ros build demo behaviours)
	@touch $@

$(MARKS)/$(ROS)-built: $(SOURCES) $(MARKS)/$(ROS)-robot
	@echo 'Building the ROS package'
	@$(call pip,install --no-build-isolation --no-deps --force-reinstall .)
	@touch $@

$(MARKS)/$(ROS)-test: setup.py $(MARKS)/$(ROS)-robot
	@echo 'Installing what the tests and the training need (some minutes)'
	@$(call requirements,ros build demo behaviours evaluation training onnx-export search cluster jax test)
	@touch $@

# pip-audit needs much of its own, which is no business of ours.
$(MARKS)/audit: | $(MARKS)/$(ROS)-venv
	@$(VENV)/bin/python -m venv --clear $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip install 'pip-audit>=2.7' > $@.log 2>&1 || { cat $@.log >&2; exit 1; }
	@touch $@
