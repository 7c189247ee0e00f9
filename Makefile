# Every task of the project. Each target makes what it needs itself: Python 3.11 to 3.13 with venv, and make, are enough.
#
#   PYTHON=...       the interpreter (default: the first of python3.11, python3.12, python3.13, python3 that will do)
#   OUT=...          run directory of `make demo` (default: runs/demo)
#   PYTEST_ARGS=...  passed on to pytest by the parts of `make test`, `make test-long` and `make check`
#   VENV=... BUILD=...  where environments (.venv, .venv-litert, ...) and all that is built go (default: .venv, build)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
SHELL := /bin/sh

OUT ?= runs/demo
VENV ?= .venv
BUILD ?= build
RESULTS ?= $(abspath $(BUILD)/results)
DIST := $(if $(filter build,$(BUILD)),dist,$(BUILD)/dist)
UV_VERSION := 0.13.8

# $(call usable,INTERPRETER,LOW,HIGH) holds where it runs, can make environments, and is Python 3.LOW to 3.HIGH.
usable = "$(1)" -c 'import ensurepip, sys, venv; sys.exit(not (3, $(2)) <= sys.version_info[:2] <= (3, $(3)))' 2>/dev/null

ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3.12 python3.13 python3; do if $(call usable,$$p,11,13); then echo $$p; break; fi; done)
endif
VERSION := $(shell "$(PYTHON)" -c 'import platform; print(platform.python_version())' 2>/dev/null)
# tflite-runtime has no wheels after Python 3.11.
ifeq ($(origin PYTHON_TFLITE),undefined)
PYTHON_TFLITE := $(shell for p in "$(PYTHON)" python3.11; do if $(call usable,$$p,11,11); then echo "$$p"; break; fi; done)
endif

BIN := $(VENV)/bin
SOURCES := $(shell find pocketrec cloud export device -name '*.py') pocketrec/py.typed pyproject.toml README.md

export OPENBLAS_NUM_THREADS ?= 1
export TF_CPP_MIN_LOG_LEVEL ?= 3
# Tests run in build/test, so the data beside the checkout has to be named.
ifneq ($(wildcard ../shared/data),)
export POCKETREC_DATA ?= $(abspath ../shared/data)
endif
unexport PYTHONPATH PYTHONHOME

.PHONY: help
help: ## list the tasks
	@echo "PocketRec: recommendation trained in the cloud and made personal on the device."
	@echo
	@sed -n 's/^\([a-z0-9.-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 26
	@echo
	@echo "Python: $(if $(VERSION),$(PYTHON) ($(VERSION)),none found; set PYTHON=/path/to/python3.11)"

# --- environments -----------------------------------------------------------------------------------------------

.PHONY: python
python:
	@$(call usable,$(PYTHON),11,13) || { echo "error: no Python 3.11, 3.12 or 3.13 with venv found:" \
		"install one (on Debian: python3 and python3-venv) or set PYTHON=/path/to/python3.11" >&2; exit 1; }

# $(call install,ENVIRONMENT,ARGUMENTS): with uv, which takes seconds; with pip where uv cannot be had.
pip = -m pip install --quiet --disable-pip-version-check
install = { test -x $(BIN)/uv && $(BIN)/uv pip install --quiet --python $(1)/bin/python $(2); } || $(1)/bin/python $(pip) $(2)
install-wheel = $(1)/bin/python $(pip) --no-deps --force-reinstall $(DIST)/*.whl && touch $(1)/.wheel

# The locked environment: TensorFlow, the runtimes, the tools.
$(VENV)/.locked-$(VERSION): requirements.txt | python
	@echo "installing the locked environment into $(VENV) (Python $(VERSION))"
	@rm -rf $(VENV) && "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python $(pip) uv==$(UV_VERSION) || echo "uv cannot be had here: going on with pip, which is slower"
	@$(call install,$(VENV),-r requirements.txt)
	@touch $@

$(BUILD)/.wheel: $(SOURCES) $(VENV)/.locked-$(VERSION)
	@rm -rf $(DIST) build/lib build/bdist.* && mkdir -p $(BUILD)
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir $(DIST) .
	@touch $@

$(VENV)/.wheel: $(BUILD)/.wheel
	@$(call install-wheel,$(VENV))

# Two boards: neither TensorFlow nor pandas. Made anew when their packages or their Python change.
TESTING := pytest==9.2.0 hypothesis==6.170.15 cryptography==50.0.2
TFLITE := $(TESTING) numpy==1.26.4 tflite-runtime==2.14.0
LITERT := $(TESTING) numpy==2.3.5 ai-edge-litert==2.3.0

# Called with $(call install-board,environment,Python,its packages)
define install-board
test "$$(cat $(1)/.packages 2>/dev/null)" = "$(2) $(VERSION) $(3)" || { echo "installing $(lastword $(3)) into $(1)"; rm -rf $(1) && \
	"$(2)" -m venv $(1) && { $(call install,$(1),$(3)); } && echo "$(2) $(VERSION) $(3)" >$(1)/.packages; } || { rm -rf $(1); exit 1; }
endef

$(VENV)-tflite/.wheel: $(BUILD)/.wheel
	@$(call install-board,$(VENV)-tflite,$(PYTHON_TFLITE),$(TFLITE))
	@$(call install-wheel,$(VENV)-tflite)

$(VENV)-litert/.wheel: $(BUILD)/.wheel
	@$(call install-board,$(VENV)-litert,$(PYTHON),$(LITERT))
	@$(call install-wheel,$(VENV)-litert)

.PHONY: install
install: $(VENV)/.wheel ## make the environment; afterwards .venv/bin/pocketrec is there

# All but spark, of whose 480 MB only `make test-distributed` has need: it has an environment of its own.
LOCKED := device cloud parquet secure dev

.PHONY: lock
lock: $(VENV)/.locked-$(VERSION) ## bring requirements.txt up to date with pyproject.toml
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		$(LOCKED:%=--extra %) --no-annotate pyproject.toml -o requirements.txt

# --- tasks ------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: $(VENV)/.wheel ## the whole way on synthetic data, then one user's device: about 90 s
	@$(BIN)/pocketrec run configs/demo.toml --out "$(OUT)"
	@echo && echo "One device of the fleet:"
	@set -e; \
	user=$$($(BIN)/pocketrec events "$(OUT)" --out "$(OUT)/device/events.csv"); \
	echo "\$$ pocketrec personalise --bundle $(OUT)/bundle --user $$user --events $(OUT)/device/events.csv --state $(OUT)/device/state"; \
	$(BIN)/pocketrec personalise --bundle "$(OUT)/bundle" --user "$$user" --events "$(OUT)/device/events.csv" --state "$(OUT)/device/state"; \
	echo "\$$ pocketrec recommend --bundle $(OUT)/bundle --user $$user --state $(OUT)/device/state"; \
	$(BIN)/pocketrec recommend --bundle "$(OUT)/bundle" --user "$$user" --state "$(OUT)/device/state"

# Several processes: a Spark cluster, TensorFlow workers. pyspark lies over .venv, in an environment of its own.
JAVA := $(shell command -v java)
ifneq ($(JAVA),)
DISTRIBUTED := $(VENV)-spark
SPARK := $(VENV)-spark/.pyspark-$(VERSION)
else
DISTRIBUTED := $(VENV)
endif

# Tests run in build/test, where nothing but the installed wheel answers to `import pocketrec`. Each part of a suite is a
# target of its own, which leaves a JUnit file in build/results; tests/parts.py runs several and counts.
BUNDLE := $(BUILD)/test/bundle
TESTS := $(CURDIR)/tests
pytest = @mkdir -p $(BUILD)/test "$(RESULTS)" && cd $(BUILD)/test && \
	PYTHONSAFEPATH=1 POCKETREC_INSTALLED=1 POCKETREC_TEST_BUNDLE="$(abspath $(BUNDLE))" \
	$(abspath $(1))/bin/python -m pytest -q -c $(CURDIR)/pyproject.toml --rootdir $(CURDIR) -p no:cacheprovider \
	--junitxml="$(RESULTS)/$@.xml"
parts = @"$(PYTHON)" tests/parts.py --results "$(RESULTS)"
# $(call skipped,REASON): the part cannot run here, which is a failure where CI=true.
skipped = @mkdir -p "$(RESULTS)" && echo "$(1)" | tee "$(RESULTS)/$@.skipped"

# Two files of tests at a time: most of them use one core.
CORES := $(shell "$(PYTHON)" tests/parts.py --cores 2>/dev/null)
SPREAD := $(if $(filter 1,$(CORES)),,-n 2 --dist loadfile)
CLOUD := --ignore $(TESTS)/device --ignore $(TESTS)/distributed $(TESTS)
FAST := not slow and not long and not real_data and not java
# In the long suites property tests try ten times as many examples, 1,000 processes are killed, 10,000 files altered.
MORE := long or scaled or hypothesis

$(BUNDLE)/manifest.json: $(filter %.py,$(SOURCES)) requirements.txt tests/make_bundle.py | $(VENV)/.wheel
	@echo "exporting the bundle that the device tests use" && rm -rf $(BUNDLE) && mkdir -p $(BUILD)/test
	@cd $(BUILD)/test && PYTHONSAFEPATH=1 $(abspath $(BIN))/python $(TESTS)/make_bundle.py bundle 2>bundle.log || \
		{ cat bundle.log; exit 1; }

# A part with :2 has two files of tests at work; one with :0 often waits, for processes that it kills and for disks, and
# runs beside the others.
SHORT := test-litert:0 test-cloud:2 $(if $(PYTHON_TFLITE),test-tflite) test-android
LONG := test-long-device:0 test-python3.13:2 test-long-cloud:2 test-arm64 test-distributed test-app
TESTED := $(BUNDLE)/manifest.json $(VENV)-litert/.wheel $(if $(PYTHON_TFLITE),$(VENV)-tflite/.wheel)

.PHONY: test
test: $(TESTED) ## all tests but the long ones, against the built wheel: about 12 minutes on two cores
	$(parts) $(SHORT)

# What test-python3.13 calls with the other interpreter.
.PHONY: test-chosen
test-chosen: $(BUNDLE)/manifest.json $(VENV)-litert/.wheel
	$(parts) test-litert:0 test-chosen-cloud:2

.PHONY: test-chosen-cloud
test-chosen-cloud: export POCKETREC_OTHER_PYTHON := 1
test-chosen-cloud: $(BUNDLE)/manifest.json
	@echo "all other tests that tests/other_python.py chooses: Python $(VERSION), TensorFlow"
	$(call pytest,$(VENV)) $(SPREAD) $(PYTEST_ARGS) $(CLOUD)

.PHONY: test-long
test-long: $(TESTED) $(SPARK) ## arm64, Spark, workers, 1,000 kills, Python 3.13, screens, ...: about 45 minutes
	$(parts) $(LONG)

.PHONY: ci
ci: $(TESTED) $(SPARK) ## what .ci/run does: ruff, mypy, make test and make test-long, counted together
	$(parts) lint $(SHORT) $(LONG)

.PHONY: test-tflite
ifneq ($(PYTHON_TFLITE),)
test-tflite: $(BUNDLE)/manifest.json $(VENV)-tflite/.wheel
	@echo "device tests in which the runtime computes: tflite-runtime, numpy 1, without TensorFlow"
	$(call pytest,$(VENV)-tflite) -m "runtime and not long" $(PYTEST_ARGS) $(TESTS)/device
else
test-tflite:
	$(call skipped,no Python 3.11 here: tflite-runtime has no wheels for later ones)
endif

.PHONY: test-litert
test-litert: $(BUNDLE)/manifest.json $(VENV)-litert/.wheel
	@echo "device tests: ai-edge-litert, numpy 2, without TensorFlow"
	$(call pytest,$(VENV)-litert) $(PYTEST_ARGS) $(TESTS)/device

.PHONY: test-cloud
test-cloud: $(BUNDLE)/manifest.json
	@echo "all other tests: Python $(VERSION), TensorFlow"
	$(call pytest,$(VENV)) $(SPREAD) $(PYTEST_ARGS) $(CLOUD)

.PHONY: test-long-device
test-long-device: export POCKETREC_LONG := 1
test-long-device: $(BUNDLE)/manifest.json $(VENV)-litert/.wheel ## the device's long tests: 1,000 kills, 10,000 altered files
	@echo "long device tests: ai-edge-litert, numpy 2, without TensorFlow"
	$(call pytest,$(VENV)-litert) -m "$(MORE)" $(PYTEST_ARGS) $(TESTS)/device

.PHONY: test-long-cloud
test-long-cloud: export POCKETREC_LONG := 1
test-long-cloud: $(BUNDLE)/manifest.json ## the other long tests: every way with every optimizer, more examples
	@echo "all other long tests: Python $(VERSION), TensorFlow"
	$(call pytest,$(VENV)) $(SPREAD) -m "$(MORE)" $(PYTEST_ARGS) $(CLOUD)

# The environments of the other interpreter lie beside ours; tflite-runtime has no wheels for it. pyenv's may be installed
# without being on PATH.
PYTHON_3_13 := $(shell for p in python3.13 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.13.*/bin/python3.13; do \
	if $(call usable,$$p,13,13); then echo "$$p"; break; fi; done)

.PHONY: test-python3.13
ifneq ($(PYTHON_3_13),)
test-python3.13: ## with Python 3.13, in environments of its own: the device's tests, the others by tests/other_python.py
	@env -u MAKEFLAGS PYTHON="$(PYTHON_3_13)" PYTHON_TFLITE= VENV=$(VENV)-3.13 BUILD=$(BUILD)/python3.13 \
		RESULTS="$(RESULTS)/$@" make --no-print-directory test-chosen
else
test-python3.13:
	$(call skipped,no Python 3.13 with venv here)
endif

# On x86-64 Linux, under qemu's user mode, in an arm64 root of Debian that is kept in build/arm64. FULL=1: every device test.
.PHONY: test-arm64
test-arm64: $(TESTED) ## device tests on emulated arm64, numbers compared with this machine's; FULL=1: all
	@mkdir -p "$(RESULTS)" && $(BIN)/python tests/arm64.py $(if $(FULL),--full) --results "$(RESULTS)/$@" $(DIST)/*.whl \
		$(BUNDLE) --native $(VENV)-litert/bin/python $(if $(PYTHON_TFLITE),$(VENV)-tflite/bin/python)

$(VENV)-spark/.pyspark-$(VERSION): $(VENV)/.wheel
	@test -e $@ || { echo "installing pyspark into $(VENV)-spark"; \
		rm -rf $(VENV)-spark && "$(PYTHON)" -m venv $(VENV)-spark && $(call install,$(VENV)-spark,pyspark==4.3.0); }
	@site='import sysconfig; print(sysconfig.get_path("purelib"))'; \
		$(BIN)/python -c "$$site" > "$$($(VENV)-spark/bin/python -c "$$site")/under.pth" && touch $@

.PHONY: test-distributed
test-distributed: $(VENV)/.wheel $(SPARK) ## a Spark cluster and TensorFlow workers, started, compared, stopped
	@echo "distributed tests: $(if $(JAVA),Spark cluster (master and two workers),Spark skipped: no Java)"
	$(call pytest,$(DISTRIBUTED)) $(PYTEST_ARGS) $(TESTS)/distributed

# Java: compiled and tested by Maven against the same bundles, and against the Python runner itself.
MAVEN := $(shell command -v javac >/dev/null 2>&1 && command -v mvn 2>/dev/null)
ANDROID := $(BUILD)/android
REFERENCE := $(ANDROID)/reference

.PHONY: test-android
ifneq ($(MAVEN),)
test-android: export POCKETREC_JAVA := java -cp $(abspath $(ANDROID)/target/desktop/classes):$(abspath \
	$(ANDROID)/target/core/classes):$(HOME)/.m2/repository/net/java/dev/jna/jna/5.14.0/jna-5.14.0.jar pocketrec.desktop.Main
test-android: $(REFERENCE)/users.json ## the Java core and its desktop harness, compared with the Python runner
	@echo "Java tests: core and desktop, LiteRT through its C API"
	@rm -rf $(ANDROID)/target/*/surefire-reports
	@$(MAVEN) -q -B -f android_harness/pom.xml -Dstyle.color=never -Dbuild.root=$(abspath $(ANDROID)) \
		-Dpocketrec.reference=$(abspath $(REFERENCE)) -Dpocketrec.python=$(abspath $(BIN))/python package; status=$$?; \
		mkdir -p "$(RESULTS)/$@" && cp $(ANDROID)/target/*/surefire-reports/TEST-*.xml "$(RESULTS)/$@/"; exit $$status
	@$(BIN)/python android_harness/apk.py --compile-only --out $(ANDROID)/apk && echo "compiled: app, against Android 14"
	@echo "pocketrec android run, the desktop harness in the app's place"
	$(call pytest,$(VENV)) -m java $(PYTEST_ARGS) $(TESTS)/machines/test_android_run.py
else
test-android:
	$(call skipped,no JDK with Maven here)
endif

APK_BUNDLE ?= $(ANDROID)/reference.zip

.PHONY: apk
apk: $(APK_BUNDLE) ## the Android app, signed with a debug key, with a bundle inside: needs Maven, aapt, zipalign, apksigner
	@$(BIN)/python android_harness/apk.py --bundle "$(APK_BUNDLE)" --out $(ANDROID)/apk

.PHONY: screens
screens: $(APK_BUNDLE) $(VENV)/.wheel ## the app's screens, tested and drawn on a JVM: needs Maven and aapt; half a minute
	@$(BIN)/python android_harness/layout.py --bundle "$(APK_BUNDLE)" --out $(ANDROID)/apk --litert $(VENV)

# Both compile to the same folder, so one after the other.
.PHONY: test-app
test-app: screens apk ## screens and apk, as a part of make test-long

$(ANDROID)/reference.zip: $(BUNDLE)/manifest.json
	@mkdir -p $(ANDROID) && rm -f $@ && cd $(BUNDLE).reference && \
		$(abspath $(BIN))/python -m zipfile -c $(abspath $@) manifest.json model.tflite items.txt recipe.json MODEL_CARD.md

$(REFERENCE)/users.json: $(BUNDLE)/manifest.json android_harness/reference.py
	@rm -rf $(REFERENCE) && mkdir -p $(REFERENCE)
	@cd $(BUILD)/test && PYTHONSAFEPATH=1 $(abspath $(BIN))/python $(CURDIR)/android_harness/reference.py bundle \
		$(abspath $(REFERENCE)) 2>$(abspath $(ANDROID))/reference.log || { cat $(abspath $(ANDROID))/reference.log; exit 1; }

.PHONY: lint
lint: $(VENV)/.locked-$(VERSION)
	@mkdir -p build/tree/pocketrec && for part in cloud export device; do ln -sfn ../../../$$part build/tree/pocketrec/$$part; done
	@for file in $(filter-out %/__pycache__,$(wildcard pocketrec/*)); do ln -sfn ../../../$$file build/tree/$$file; done
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

.PHONY: check
check: $(BUNDLE)/manifest.json $(VENV)-litert/.wheel ## ruff, mypy and the fast tests: at most two minutes on two cores
	$(parts) lint check-device check-cloud:2

.PHONY: check-device
check-device: $(BUNDLE)/manifest.json $(VENV)-litert/.wheel
	$(call pytest,$(VENV)-litert) -m "$(FAST)" $(PYTEST_ARGS) $(TESTS)/device

.PHONY: check-cloud
check-cloud: $(BUNDLE)/manifest.json
	$(call pytest,$(VENV)) $(SPREAD) -m "$(FAST)" $(PYTEST_ARGS) $(CLOUD)

.PHONY: bench
bench: $(BUNDLE)/manifest.json $(VENV)-litert/.wheel $(if $(PYTHON_TFLITE),$(VENV)-tflite/.wheel) ## latency and memory of the reference model on each runtime here
	@for env in $(if $(PYTHON_TFLITE),$(VENV)-tflite) $(VENV)-litert; do \
		$$env/bin/pocketrec bench --bundle $(BUNDLE).reference --calls 300; echo; \
		$$env/bin/python -P benchmarks/memory.py $(BUNDLE).reference; echo; done

# `make measure` lists what there is, `make measure NAME` measures it: the words behind `measure` are names, not targets.
ifeq ($(firstword $(MAKECMDGOALS)),measure)
NAMES := $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
.PHONY: $(NAMES)
$(NAMES): measure
	@:
endif

.PHONY: measure
measure: $(VENV)/.wheel $(if $(NAMES),$(TESTED)) ## NAME: the figures of README and docs that need real logs or much time; without NAME: a list
	@$(BIN)/python benchmarks/measure.py $(NAMES)

.PHONY: clean
clean: ## remove environments, builds and caches (runs/ stays)
	@rm -rf .venv .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
