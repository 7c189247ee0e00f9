# Every task of the project. Each target makes what it needs itself: Python 3.11 to 3.13 with venv, and make, are enough.
#
#   PYTHON=...       the interpreter (default: the first of python3.11, python3.12, python3.13, python3 that will do)
#   OUT=...          run directory of `make demo` (default: runs/demo)
#   PYTEST_ARGS=...  passed on to pytest by `make test` and `make check`

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
SHELL := /bin/sh

OUT ?= runs/demo
UV_VERSION := 0.13.8

# $(call usable,INTERPRETER,LOW,HIGH) holds where it runs, can make environments, and is Python 3.LOW to 3.HIGH.
usable = "$(1)" -c 'import ensurepip, sys, venv; sys.exit(not (3, $(2)) <= sys.version_info[:2] <= (3, $(3)))' 2>/dev/null

ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3.12 python3.13 python3; do if $(call usable,$$p,11,13); then echo $$p; break; fi; done)
endif
VERSION := $(shell "$(PYTHON)" -c 'import platform; print(platform.python_version())' 2>/dev/null)
# tflite-runtime has no wheels after Python 3.11.
PYTHON_TFLITE := $(shell for p in "$(PYTHON)" python3.11; do if $(call usable,$$p,11,11); then echo "$$p"; break; fi; done)

BIN := .venv/bin
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
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20
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
install-wheel = $(1)/bin/python $(pip) --no-deps --force-reinstall dist/*.whl && touch $(1)/.wheel

# The locked environment: TensorFlow, the runtimes, the tools.
.venv/.locked-$(VERSION): requirements.txt | python
	@echo "installing the locked environment into .venv (Python $(VERSION))"
	@rm -rf .venv && "$(PYTHON)" -m venv .venv
	@$(BIN)/python $(pip) uv==$(UV_VERSION) || echo "uv cannot be had here: going on with pip, which is slower"
	@$(call install,.venv,-r requirements.txt)
	@touch $@

build/.wheel: $(SOURCES) .venv/.locked-$(VERSION)
	@rm -rf dist build/lib build/bdist.* && mkdir -p build
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	@touch $@

.venv/.wheel: build/.wheel
	@$(call install-wheel,.venv)

# Two boards: neither TensorFlow nor pandas. Made anew when their packages or their Python change.
TESTING := pytest==9.2.0 hypothesis==6.170.15 cryptography==50.0.2
TFLITE := $(TESTING) numpy==1.26.4 tflite-runtime==2.14.0
LITERT := $(TESTING) numpy==2.3.5 ai-edge-litert==2.3.0

# Called with $(call install-board,environment,Python,its packages)
define install-board
test "$$(cat $(1)/.packages 2>/dev/null)" = "$(2) $(VERSION) $(3)" || { echo "installing $(lastword $(3)) into $(1)"; rm -rf $(1) && \
	"$(2)" -m venv $(1) && { $(call install,$(1),$(3)); } && echo "$(2) $(VERSION) $(3)" >$(1)/.packages; } || { rm -rf $(1); exit 1; }
endef

.venv-tflite/.wheel: build/.wheel
	@$(call install-board,.venv-tflite,$(PYTHON_TFLITE),$(TFLITE))
	@$(call install-wheel,.venv-tflite)

.venv-litert/.wheel: build/.wheel
	@$(call install-board,.venv-litert,$(PYTHON),$(LITERT))
	@$(call install-wheel,.venv-litert)

.PHONY: install
install: .venv/.wheel ## make the environment; afterwards .venv/bin/pocketrec is there

# All but spark, of whose 480 MB only `make test-distributed` has need: it has an environment of its own.
LOCKED := device cloud parquet secure dev

.PHONY: lock
lock: .venv/.locked-$(VERSION) ## bring requirements.txt up to date with pyproject.toml
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		$(LOCKED:%=--extra %) --no-annotate pyproject.toml -o requirements.txt

# --- tasks ------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: .venv/.wheel ## the whole way on synthetic data, then one user's device: about 90 s
	@$(BIN)/pocketrec run configs/demo.toml --out "$(OUT)"
	@echo && echo "One device of the fleet:"
	@set -e; \
	user=$$($(BIN)/pocketrec events "$(OUT)" --out "$(OUT)/device/events.csv"); \
	echo "\$$ pocketrec personalise --bundle $(OUT)/bundle --user $$user --events $(OUT)/device/events.csv --state $(OUT)/device/state"; \
	$(BIN)/pocketrec personalise --bundle "$(OUT)/bundle" --user "$$user" --events "$(OUT)/device/events.csv" --state "$(OUT)/device/state"; \
	echo "\$$ pocketrec recommend --bundle $(OUT)/bundle --user $$user --state $(OUT)/device/state"; \
	$(BIN)/pocketrec recommend --bundle "$(OUT)/bundle" --user "$$user" --state "$(OUT)/device/state"

# Tests run in build/test, where nothing but the installed wheel answers to `import pocketrec`.
BUNDLE := build/test/bundle
pytest = @cd build/test && PYTHONSAFEPATH=1 POCKETREC_INSTALLED=1 POCKETREC_TEST_BUNDLE="$(abspath $(BUNDLE))" \
	../../$(1)/bin/python -m pytest -q -c ../../pyproject.toml --rootdir ../.. -p no:cacheprovider $(PYTEST_ARGS)

# Two files of tests at a time: most of them use one core.
SPREAD := -n 2 --dist loadfile

$(BUNDLE)/manifest.json: .venv/.wheel tests/make_bundle.py
	@echo "exporting the bundle that the device tests use" && rm -rf $(BUNDLE) && mkdir -p build/test
	@cd build/test && PYTHONSAFEPATH=1 ../../$(BIN)/python ../../tests/make_bundle.py bundle 2>bundle.log || { cat bundle.log; exit 1; }

# Two at a time, each with its output in one piece; test-cloud by itself has two files at work.
.PHONY: test
test: ## every test, against the built wheel; the device's also without TensorFlow
	@$(MAKE) --no-print-directory -j2 --output-sync=target test-tflite test-litert test-arm64
	@$(MAKE) --no-print-directory test-cloud
	@$(MAKE) --no-print-directory -j2 --output-sync=target test-distributed test-android

.PHONY: test-tflite
ifneq ($(PYTHON_TFLITE),)
test-tflite: $(BUNDLE)/manifest.json .venv-tflite/.wheel
	@echo "device tests without TensorFlow: tflite-runtime, numpy 1"
	$(call pytest,.venv-tflite) ../../tests/device
else
test-tflite:
	@echo "device tests with tflite-runtime: skipped, for there is no Python 3.11 here"
endif

.PHONY: test-litert
test-litert: $(BUNDLE)/manifest.json .venv-litert/.wheel
	@echo "device tests without TensorFlow: ai-edge-litert, numpy 2"
	$(call pytest,.venv-litert) ../../tests/device

# On x86-64 Linux, under qemu's user mode, in an arm64 root of Debian that is kept in build/arm64. FULL=1: every device test.
.PHONY: test-arm64
test-arm64: $(BUNDLE)/manifest.json .venv-litert/.wheel $(if $(PYTHON_TFLITE),.venv-tflite/.wheel) ## device tests on emulated arm64, numbers compared with this machine's; FULL=1: all
	@$(BIN)/python tests/arm64.py $(if $(FULL),--full) dist/*.whl $(BUNDLE) \
		--native .venv-litert/bin/python $(if $(PYTHON_TFLITE),.venv-tflite/bin/python)

.PHONY: test-cloud
test-cloud: $(BUNDLE)/manifest.json
	@echo "all other tests: Python $(VERSION), TensorFlow"
	$(call pytest,.venv) $(SPREAD) --ignore ../../tests/device --ignore ../../tests/distributed ../../tests

# Several processes: a Spark cluster, TensorFlow workers. pyspark lies over .venv, in an environment of its own.
JAVA := $(shell command -v java)
ifneq ($(JAVA),)
DISTRIBUTED := .venv-spark
else
DISTRIBUTED := .venv
endif

.venv-spark/.pyspark-$(VERSION): .venv/.wheel
	@test -e $@ || { echo "installing pyspark into .venv-spark"; \
		rm -rf .venv-spark && "$(PYTHON)" -m venv .venv-spark && $(call install,.venv-spark,pyspark==4.3.0); }
	@site='import sysconfig; print(sysconfig.get_path("purelib"))'; \
		$(BIN)/python -c "$$site" > "$$(.venv-spark/bin/python -c "$$site")/under.pth" && touch $@

.PHONY: test-distributed
test-distributed: .venv/.wheel $(if $(JAVA),.venv-spark/.pyspark-$(VERSION)) ## a Spark cluster and TensorFlow workers, started, compared, stopped
	@echo "distributed tests: $(if $(JAVA),Spark cluster (master and two workers),Spark skipped: no Java)"
	@mkdir -p build/test
	$(call pytest,$(DISTRIBUTED)) $(SPREAD) ../../tests/distributed

# Java: compiled and tested by Maven against the same bundles, and against the Python runner itself.
MAVEN := $(shell command -v javac >/dev/null 2>&1 && command -v mvn 2>/dev/null)
REFERENCE := build/android/reference

.PHONY: test-android
ifneq ($(MAVEN),)
test-android: export POCKETREC_JAVA := java -cp $(abspath build/android/target/desktop/classes):$(abspath \
	build/android/target/core/classes):$(HOME)/.m2/repository/net/java/dev/jna/jna/5.14.0/jna-5.14.0.jar pocketrec.desktop.Main
test-android: $(REFERENCE)/users.json ## the Java core and its desktop harness, compared with the Python runner
	@echo "Java tests: core and desktop, LiteRT through its C API"
	@$(MAVEN) -q -B -f android_harness/pom.xml -Dstyle.color=never -Dbuild.root=$(abspath build/android) \
		-Dpocketrec.reference=$(abspath $(REFERENCE)) -Dpocketrec.python=$(abspath $(BIN))/python package
	@$(BIN)/python android_harness/apk.py --compile-only --out build/android/apk && echo "compiled: app, against Android 14"
	@echo "pocketrec android run, the desktop harness in the app's place"
	$(call pytest,.venv) ../../tests/machines/test_android_run.py -k test_run_ends
	@sed -n 's/^Tests run: \([0-9]*\), Failures: \([0-9]*\).* in \(.*\)/\1 passed, \2 failed: \3/p' \
		build/android/target/*/surefire-reports/*.txt
else
test-android:
	@echo "Java tests: skipped, for there is no JDK with Maven here"
endif

APK_BUNDLE ?= build/android/reference.zip

.PHONY: apk
apk: $(APK_BUNDLE) ## the Android app, signed with a debug key, with a bundle inside: needs Maven, aapt, zipalign, apksigner
	@$(BIN)/python android_harness/apk.py --bundle "$(APK_BUNDLE)" --out build/android/apk

.PHONY: screens
screens: $(APK_BUNDLE) .venv/.wheel ## the app's screens, tested and drawn on a JVM: needs Maven and aapt; half a minute
	@$(BIN)/python android_harness/layout.py --bundle "$(APK_BUNDLE)" --out build/android/apk --litert .venv

build/android/reference.zip: $(BUNDLE)/manifest.json
	@mkdir -p build/android && rm -f $@ && cd $(BUNDLE).reference && \
		../../../$(BIN)/python -m zipfile -c ../../android/reference.zip manifest.json model.tflite items.txt recipe.json MODEL_CARD.md

$(REFERENCE)/users.json: $(BUNDLE)/manifest.json android_harness/reference.py
	@rm -rf $(REFERENCE) && mkdir -p $(REFERENCE)
	@cd build/test && PYTHONSAFEPATH=1 ../../$(BIN)/python ../../android_harness/reference.py bundle $(abspath $(REFERENCE)) \
		2>../android/reference.log || { cat ../android/reference.log; exit 1; }

.PHONY: lint
lint: .venv/.locked-$(VERSION)
	@mkdir -p build/tree/pocketrec && for part in cloud export device; do ln -sfn ../../../$$part build/tree/pocketrec/$$part; done
	@for file in $(filter-out %/__pycache__,$(wildcard pocketrec/*)); do ln -sfn ../../../$$file build/tree/$$file; done
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

.PHONY: check
check: lint $(BUNDLE)/manifest.json .venv-litert/.wheel ## ruff, mypy and the fast tests: under two minutes
	$(call pytest,.venv-litert) -m "not slow and not real_data" ../../tests/device
	$(call pytest,.venv) $(SPREAD) -m "not slow and not real_data" --ignore ../../tests/device --ignore ../../tests/distributed ../../tests

.PHONY: bench
bench: $(BUNDLE)/manifest.json .venv-litert/.wheel $(if $(PYTHON_TFLITE),.venv-tflite/.wheel) ## latency and memory of the reference model on each runtime here
	@for env in $(if $(PYTHON_TFLITE),.venv-tflite) .venv-litert; do \
		$$env/bin/pocketrec bench --bundle $(BUNDLE).reference --calls 300; echo; done

.PHONY: clean
clean: ## remove environments, builds and caches (runs/ stays)
	@rm -rf .venv .venv-tflite .venv-litert .venv-spark build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
