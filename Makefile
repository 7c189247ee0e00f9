# SPDX-License-Identifier: Apache-2.0
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
# uv compiles nothing: where nothing may be written either, every process compiles all of TensorFlow again, 10 s each time.
unexport PYTHONDONTWRITEBYTECODE

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

# Flower, in an environment and with a lock of its own: what it needs does not fit requirements.txt.
$(VENV)-flower/.locked-$(VERSION): requirements-flower.txt | python
	@echo "installing Flower and dp-accounting into $(VENV)-flower (Python $(VERSION))"
	@rm -rf $(VENV)-flower && "$(PYTHON)" -m venv $(VENV)-flower
	@$(call install,$(VENV)-flower,-r requirements-flower.txt)
	@touch $@

$(VENV)-flower/.wheel: $(BUILD)/.wheel $(VENV)-flower/.locked-$(VERSION)
	@$(call install-wheel,$(VENV)-flower)

$(VENV)-litert/.wheel: $(BUILD)/.wheel
	@$(call install-board,$(VENV)-litert,$(PYTHON),$(LITERT))
	@$(call install-wheel,$(VENV)-litert)

.PHONY: install
install: $(VENV)/.wheel ## make the environment; afterwards .venv/bin/pocketrec is there

# All but spark, of whose 480 MB only `make test-distributed` has need: it has an environment of its own.
LOCKED := device cloud ann parquet secure dev

.PHONY: lock
lock: $(VENV)/.locked-$(VERSION) ## bring requirements.txt up to date with pyproject.toml
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		$(LOCKED:%=--extra %) --no-annotate pyproject.toml -o requirements.txt

.PHONY: lock-flower
lock-flower: $(VENV)/.locked-$(VERSION) ## the same for requirements-flower.txt
	@UV_CUSTOM_COMPILE_COMMAND="make lock-flower" $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		--extra device --extra federated --no-annotate pyproject.toml tests/flower/requirements.in -o requirements-flower.txt

# --- tasks ------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: $(VENV)/.wheel ## the whole way on synthetic data, then one user's device: about 2 minutes
	@$(BIN)/pocketrec run configs/demo.toml --out "$(OUT)"
	@echo && echo "One device of the fleet:"
	@set -e; \
	user=$$($(BIN)/pocketrec events "$(OUT)" --out "$(OUT)/device/events.csv"); \
	echo "\$$ pocketrec personalise --bundle $(OUT)/bundle --user $$user --events $(OUT)/device/events.csv --state $(OUT)/device/state"; \
	$(BIN)/pocketrec personalise --bundle "$(OUT)/bundle" --user "$$user" --events "$(OUT)/device/events.csv" --state "$(OUT)/device/state"; \
	echo "\$$ pocketrec recommend --bundle $(OUT)/bundle --user $$user --state $(OUT)/device/state"; \
	$(BIN)/pocketrec recommend --bundle "$(OUT)/bundle" --user "$$user" --state "$(OUT)/device/state"
	@printf '\nNext:\n  %s\n  %s\n  %s\n' "look at $(OUT)/report.html in a browser" \
		"try it on a log of your own: $(BIN)/pocketrec run clicks.csv" \
		"or go step by step: docs/tutorial.md (a quarter of an hour)"

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
BUNDLE ?= $(BUILD)/test/bundle
TESTS := $(CURDIR)/tests
pytest = @mkdir -p $(BUILD)/test "$(RESULTS)" && cd $(BUILD)/test && \
	PYTHONSAFEPATH=1 POCKETREC_INSTALLED=1 POCKETREC_TEST_BUNDLE="$(abspath $(BUNDLE))" \
	$(abspath $(1))/bin/python -m pytest -q -c $(CURDIR)/pyproject.toml --rootdir $(CURDIR) -p no:cacheprovider \
	--junitxml="$(RESULTS)/$@.xml"
parts = @"$(PYTHON)" tests/parts.py --results "$(RESULTS)"
# $(call skipped,REASON): the part cannot run here, which is a failure where CI=true.
skipped = @mkdir -p "$(RESULTS)" && echo "$(1)" | tee "$(RESULTS)/$@.skipped"

# Two files of tests at a time: most of them use one core. In the order of tests/conftest.py, longest first.
CORES := $(shell "$(PYTHON)" tests/parts.py --cores 2>/dev/null)
SPREAD := $(if $(filter 1,$(CORES)),,-n 2 --dist loadfile --no-loadscope-reorder)
CLOUD := --ignore $(TESTS)/device --ignore $(TESTS)/distributed --ignore $(TESTS)/flower $(TESTS)
FAST := not slow and not long and not real_data and not java
# In the long suites property tests try up to ten times as many examples, 1,000 processes are killed, 3,000 files altered.
MORE := long or scaled or hypothesis

$(BUNDLE)/manifest.json: $(filter %.py,$(SOURCES)) requirements.txt tests/make_bundle.py tests/tiny_device.py | $(VENV)/.wheel
	@echo "exporting the bundle that the device tests use" && rm -rf $(BUNDLE) && mkdir -p $(BUILD)/test
	@cd $(BUILD)/test && PYTHONSAFEPATH=1 $(abspath $(BIN))/python $(TESTS)/make_bundle.py bundle 2>bundle.log || \
		{ cat bundle.log; exit 1; }

# The longest part runs from the first second to the last, with two files of tests at work, and the others one after the
# other beside it: many tests wait, for processes and for disks, and so both cores have work all the time. A part with :0
# waits most (for processes that it kills) and runs beside both.
SHORT := test-cloud test-litert:0 $(if $(PYTHON_TFLITE),test-tflite) test-android
LONG := test-long-cloud test-long-device:0 test-python3.13 test-distributed test-flower:0 test-arm64 test-long-android test-app test-notebook
TESTED := $(BUNDLE)/manifest.json $(VENV)-litert/.wheel $(if $(PYTHON_TFLITE),$(VENV)-tflite/.wheel)

.PHONY: test
test: $(TESTED) ## all tests but the long ones, against the built wheel: about 7 minutes on two cores
	$(parts) $(SHORT)

# What test-python3.13 calls with the other interpreter.
.PHONY: test-chosen
test-chosen: $(BUNDLE)/manifest.json $(VENV)-litert/.wheel
	$(parts) test-chosen-device:0 test-chosen-cloud

# Kills, faults and altered files, which `slow` and `scaled` stand for here, are the kernel's and the formats' affair.
.PHONY: test-chosen-device test-chosen-cloud
test-chosen-device: $(BUNDLE)/manifest.json $(VENV)-litert/.wheel
	@echo "device tests but for kills and altered files: Python $(VERSION), ai-edge-litert"
	$(call pytest,$(VENV)-litert) -m "not slow and not scaled and not long" $(PYTEST_ARGS) $(TESTS)/device

# In one process: the other parts beside it use the cores, and each process would import and collect for itself.
test-chosen-cloud: export POCKETREC_OTHER_PYTHON := 1
test-chosen-cloud: $(BUNDLE)/manifest.json
	@echo "all other tests that tests/other_python.py chooses: Python $(VERSION), TensorFlow"
	$(call pytest,$(VENV)) -m "" $(PYTEST_ARGS) $(CLOUD)

.PHONY: test-long
test-long: $(TESTED) $(SPARK) ## arm64, Spark, workers, 1,000 kills, Python 3.13, screens, ...: about 40 minutes
	$(parts) $(LONG)

.PHONY: ci
ci: $(TESTED) $(SPARK) ## what .ci/run does: ruff, mypy, make test and make test-long, counted together
	$(parts) --again 3 lint $(SHORT) $(LONG)

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
test-long-device: $(BUNDLE)/manifest.json $(VENV)-litert/.wheel ## the device's long tests: 1,000 kills, 3,000 altered files
	@echo "long device tests: ai-edge-litert, numpy 2, without TensorFlow"
	$(call pytest,$(VENV)-litert) -m "$(MORE)" $(PYTEST_ARGS) $(TESTS)/device

.PHONY: test-long-cloud
test-long-cloud: export POCKETREC_LONG := 1
test-long-cloud: $(BUNDLE)/manifest.json ## the other long tests: every way with every optimizer, more examples
	@echo "all other long tests: Python $(VERSION), TensorFlow"
	$(call pytest,$(VENV)) $(SPREAD) -m "($(MORE)) and not java" $(PYTEST_ARGS) $(CLOUD)

# The environments of the other interpreter lie beside ours, and its devices get the bundle that ours has made; tflite-runtime has no wheels for it. pyenv's may be installed
# without being on PATH.
PYTHON_3_13 := $(shell for p in python3.13 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.13.*/bin/python3.13; do \
	if $(call usable,$$p,13,13); then echo "$$p"; break; fi; done)

.PHONY: test-python3.13
ifneq ($(PYTHON_3_13),)
test-python3.13: $(BUNDLE)/manifest.json ## with Python 3.13, in environments of its own: the device's fast tests, the others by tests/other_python.py
	@env -u MAKEFLAGS PYTHON="$(PYTHON_3_13)" PYTHON_TFLITE= VENV=$(VENV)-3.13 BUILD=$(BUILD)/python3.13 \
		BUNDLE="$(abspath $(BUNDLE))" RESULTS="$(RESULTS)/$@" make --no-print-directory test-chosen
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

# The real thing: a SuperLink and two SuperNodes on the loopback, watched by strace, killed, resumed.
.PHONY: test-flower
test-flower: $(BUNDLE)/manifest.json $(VENV)-flower/.wheel ## federated rounds through Flower on the loopback; our accountant beside dp-accounting
	@echo "Flower: SuperLink and SuperNodes on the loopback; dp-accounting"
	$(call pytest,$(VENV)-flower) -m "" $(PYTEST_ARGS) $(TESTS)/flower

# Java: compiled and tested by Maven against the same bundles, and against the Python runner itself.
MAVEN := $(shell command -v javac >/dev/null 2>&1 && command -v mvn 2>/dev/null)
ANDROID := $(BUILD)/android
REFERENCE := $(ANDROID)/reference

.PHONY: test-android test-long-android
ifneq ($(MAVEN),)
JAVA_PATH := $(foreach module,desktop store pull core,$(abspath $(ANDROID))/target/$(module)/classes) \
	$(HOME)/.m2/repository/net/java/dev/jna/jna/5.14.0/jna-5.14.0.jar \
	$(HOME)/.m2/repository/org/xerial/sqlite-jdbc/3.46.1.3/sqlite-jdbc-3.46.1.3.jar
# For processes that live for seconds: compiling to fast code would cost more than it saves.
QUICK := -XX:+UseSerialGC -XX:TieredStopAtLevel=1
MAVEN_PACKAGE := MAVEN_OPTS="$(QUICK)" $(MAVEN) -q -B -f android_harness/pom.xml -Dstyle.color=never -Dbuild.root=$(abspath $(ANDROID)) \
	-Dpocketrec.reference=$(abspath $(REFERENCE)) -Dpocketrec.python=$(abspath $(BIN))/python package
test-android test-long-android: export POCKETREC_JAVA := java $(QUICK) -cp $(subst $(eval ) ,:,$(JAVA_PATH)) pocketrec.desktop.Main
test-android: $(REFERENCE)/users.json ## the Java core and its desktop harness, compared with the Python runner
	@echo "Java tests: core and desktop, LiteRT through its C API"
	@rm -rf $(ANDROID)/target/*/surefire-reports
	@$(MAVEN_PACKAGE) -DargLine="$(QUICK)" -pl core,store,pull,desktop; status=$$?; \
		mkdir -p "$(RESULTS)/$@" && cp $(ANDROID)/target/*/surefire-reports/TEST-*.xml "$(RESULTS)/$@/"; exit $$status
	@$(BIN)/python android_harness/apk.py --compile-only --out $(ANDROID)/apk && echo "compiled: app, against Android 14"
	@echo "pocketrec android run, the desktop harness in the app's place; stores, pulls and states of Java and Python"
	$(call pytest,$(VENV)) -m "java and not long" $(PYTEST_ARGS) $(TESTS)/machines

test-long-android: export POCKETREC_LONG := 1
test-long-android: $(REFERENCE)/users.json ## Java's long tests: Kotlin, 26 releases, every backbone, 160 kills, 4,000 altered files
	@echo "the Kotlin module, and long tests of the Java runner"
	@$(MAVEN_PACKAGE) -Dtest="pocketrec.kotlin.*Test" -Dsurefire.failIfNoSpecifiedTests=false
	$(call pytest,$(VENV)) -m "java and ($(MORE))" $(PYTEST_ARGS) $(TESTS)/machines
else
test-android test-long-android:
	$(call skipped,no JDK with Maven here)
endif

APK_BUNDLE ?= $(ANDROID)/reference.zip

.PHONY: apk
apk: $(APK_BUNDLE) ## the Android app, signed with a debug key, with a bundle inside: needs Maven, aapt, zipalign, apksigner
	@$(BIN)/python android_harness/apk.py --bundle "$(APK_BUNDLE)" --out $(ANDROID)/apk

.PHONY: aar
aar: ## the modules as .aar and .jar files with sources, javadoc and POMs in build/maven: needs a JDK and Maven
	@$(BIN)/python android_harness/aar.py --out $(ANDROID)/apk --maven $(BUILD)/maven

.PHONY: screens
screens: $(APK_BUNDLE) $(VENV)/.wheel ## the app's screens, tested and drawn on a JVM: needs Maven and aapt; half a minute
	@$(BIN)/python android_harness/layout.py --bundle "$(APK_BUNDLE)" --out $(ANDROID)/apk --litert $(VENV)

# Both compile to the same folder, so one after the other.
.PHONY: test-app
test-app: screens apk aar ## screens, apk and aar, as a part of make test-long

$(ANDROID)/reference.zip: $(BUNDLE)/manifest.json
	@mkdir -p $(ANDROID) && rm -f $@ && cd $(BUNDLE).reference && \
		$(abspath $(BIN))/python -m zipfile -c $(abspath $@) manifest.json model.tflite items.txt recipe.json MODEL_CARD.md

$(REFERENCE)/users.json: $(BUNDLE)/manifest.json android_harness/reference.py
	@rm -rf $(REFERENCE) && mkdir -p $(REFERENCE)
	@cd $(BUILD)/test && PYTHONSAFEPATH=1 $(abspath $(BIN))/python $(CURDIR)/android_harness/reference.py bundle \
		$(abspath $(REFERENCE)) 2>$(abspath $(ANDROID))/reference.log || { cat $(abspath $(ANDROID))/reference.log; exit 1; }

# The sources under their import names, as links.
.PHONY: tree
tree:
	@mkdir -p build/tree/pocketrec && for part in cloud export device; do ln -sfn ../../../$$part build/tree/pocketrec/$$part; done
	@for file in $(filter-out %/__pycache__,$(wildcard pocketrec/*)); do ln -sfn ../../../$$file build/tree/$$file; done

.PHONY: lint
lint: $(VENV)/.locked-$(VERSION) tree
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

.PHONY: check
check: $(BUNDLE)/manifest.json $(VENV)-litert/.wheel ## ruff, mypy and the fast tests: at most two minutes on two cores
	$(parts) check-cloud lint check-device

.PHONY: check-device
check-device: $(BUNDLE)/manifest.json $(VENV)-litert/.wheel
	$(call pytest,$(VENV)-litert) -m "$(FAST)" $(PYTEST_ARGS) $(TESTS)/device

.PHONY: check-cloud
check-cloud: $(BUNDLE)/manifest.json
	$(call pytest,$(VENV)) $(SPREAD) -m "$(FAST)" $(PYTEST_ARGS) $(CLOUD)

.PHONY: bench
bench: $(BUNDLE)/manifest.json $(VENV)-litert/.wheel $(if $(PYTHON_TFLITE),$(VENV)-tflite/.wheel) ## latency and memory of the reference model, and tasks beside it, on each runtime here
	@for env in $(if $(PYTHON_TFLITE),$(VENV)-tflite) $(VENV)-litert; do \
		$$env/bin/pocketrec bench --bundle $(BUNDLE).reference --calls 300; echo; \
		$$env/bin/python -P benchmarks/memory.py $(BUNDLE).reference; echo; \
		$$env/bin/python -P benchmarks/tasks.py $(BUNDLE).reference; echo; done

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

SITE := mkdocs==1.6.1 mkdocs-material==9.7.7 mkdocstrings==1.0.8 mkdocstrings-python==2.0.9 pymdown-extensions==10.21.3 ruff==0.17.5
.PHONY: site
site: tree | python ## build/site: the documentation as a site, built without network; a warning or a dead link is an error
	@$(call install-board,$(VENV)-site,$(PYTHON),$(SITE))
	@NO_MKDOCS_2_WARNING=1 $(VENV)-site/bin/mkdocs build --quiet --site-dir $(abspath $(BUILD))/site
	@echo "$(BUILD)/site/index.html"

# docs/notebook.ipynb: `make notebook` runs it on the demo's run and keeps what its cells give; `make test-notebook` runs it
# on the run that tests/golden has, and keeps nothing.
NOTEBOOK := pandas==2.3.3 matplotlib==3.11.2 ipykernel==7.4.0 nbmake==1.5.5
NOTEBOOK_RUN = PYTHONSAFEPATH=1 POCKETREC_RUN="$(1)" $(VENV)-notebook/bin/python -m pytest -q -p no:cacheprovider -c /dev/null --nbmake

$(VENV)-notebook/.wheel: $(BUILD)/.wheel
	@$(call install-board,$(VENV)-notebook,$(PYTHON),$(NOTEBOOK))
	@$(call install-wheel,$(VENV)-notebook)

.PHONY: notebook
notebook: $(VENV)-notebook/.wheel ## runs docs/notebook.ipynb on the run of `make demo`, and keeps its tables and plots
	@test -e "$(OUT)/metrics.json" || $(MAKE) --no-print-directory demo
	@$(call NOTEBOOK_RUN,$(abspath $(OUT))) --overwrite docs/notebook.ipynb

.PHONY: test-notebook
test-notebook: $(VENV)-notebook/.wheel ## the notebook on a run of before
	@rm -rf $(BUILD)/notebook && mkdir -p $(BUILD)/notebook "$(RESULTS)"
	@tar -xzf tests/golden/run.tar.gz -C $(BUILD)/notebook && cp docs/notebook.ipynb $(BUILD)/notebook
	@$(call NOTEBOOK_RUN,$(abspath $(BUILD))/notebook/run) --junitxml="$(RESULTS)/$@.xml" $(BUILD)/notebook/notebook.ipynb

# What a release would upload: wheel and sdist, their description checked, each installed into an empty environment and used.
PACKAGING := build==1.4.0 twine==6.2.0 setuptools==80.9.0 wheel==0.45.1
.PHONY: dist
dist: $(BUNDLE)/manifest.json ## build/release: wheel and sdist, checked, installed into empty environments and run
	@$(call install-board,$(VENV)-dist,$(PYTHON),$(PACKAGING))
	@rm -rf $(BUILD)/release && $(VENV)-dist/bin/python -m build --no-isolation --outdir $(BUILD)/release . >$(BUILD)/release.log 2>&1 \
		|| { cat $(BUILD)/release.log; exit 1; }
	@$(VENV)-dist/bin/python -m twine check --strict $(BUILD)/release/*
	@set -e; for package in $(BUILD)/release/*.whl $(BUILD)/release/*.tar.gz; do \
		rm -rf $(VENV)-empty && "$(PYTHON)" -m venv $(VENV)-empty; \
		$(call install,$(VENV)-empty,"$$package[device]"); \
		$(VENV)-empty/bin/pocketrec --version; \
		$(VENV)-empty/bin/pocketrec recommend --bundle $(BUNDLE) --new-user -k 3; \
	done; rm -rf $(VENV)-empty; ls -l $(BUILD)/release

.PHONY: clean
clean: ## remove environments, builds and caches (runs/ stays)
	@rm -rf .venv .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
