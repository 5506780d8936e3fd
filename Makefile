# 'make demo' and 'make test' work on a fresh machine; both set up .venv first, the demo with the core alone.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core
READY := $(VENV)/.ready
SITE := $(VENV)/.docs

.PHONY: demo demo-hand-over dev docs sbom test lint bench boot-table verdict-table screenshots probes hand-over fuzz \
    mutants clean

PLUGINS := $(wildcard plugins/fuki-*)
# What a plugin's tests need beyond the plugin stands in its own group 'test'.
PLUGIN_GROUPS := $(shell grep -l '^\[dependency-groups\]' $(PLUGINS:=/pyproject.toml))

TESTS := tests $(wildcard plugins/fuki-*/tests)
TEST_SUPPORT := $(wildcard $(TESTS:=/support))

$(CORE): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

# Groups of dependencies are known to pip from 25.1 on; the core alone does not need them.
$(READY): $(CORE) $(PLUGINS:=/pyproject.toml)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable . $(PLUGINS:%=--editable %) --group dev $(PLUGIN_GROUPS:%=--group %:test)
	touch $@

$(SITE): $(CORE)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --group docs
	touch $@

# Real stub, kernel and firmware, then an F-UKI of them.
demo: $(CORE)
	$(BIN)/python tools/parts.py --quickstart examples/quickstart/parts
	$(BIN)/fuki plan examples/quickstart
	$(BIN)/fuki build examples/quickstart
	$(BIN)/fuki inspect examples/quickstart/out/quickstart_1.efi

# An F-UKI that starts its own firmware, booted in QEMU on firmware of another year.
demo-hand-over: $(READY)
	$(BIN)/python tools/parts.py --quickstart examples/hand-over/parts
	$(BIN)/fuki build examples/hand-over
	$(BIN)/fuki --plugin qemu boot examples/hand-over/out/hand-over_1.efi --host vm-launch-update --verify \
	    --firmware "$$($(BIN)/python tools/parts.py ovmf-2025)"

# All plugins and what their tests need.
dev: $(READY)

# The documentation as a site with search, in build/docs; whatever Sphinx warns of is an error.
docs: $(SITE)
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env docs build/docs
	@echo "build/docs/index.html"

# What an environment with the core and all plugins has, in CycloneDX.
sbom: $(READY)
	mkdir -p dist
	$(BIN)/python tools/sbom.py dist/fuki.cdx.json . $(PLUGINS)

test: $(READY)
	tools/install-peers
	$(BIN)/pytest -n 2 --cov

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini --cache-dir .mypy_cache/strict --strict $(TEST_SUPPORT)
	for tests in $(TESTS); do $(BIN)/mypy --config-file tests/mypy.ini $$tests || exit 1; done
	$(BIN)/lint-imports
	$(BIN)/python tools/lint_names.py
	$(BIN)/python tools/lint_records.py

bench: $(READY)
	$(BIN)/python tools/bench.py --write docs/benchmarks.md

# Boots every scenario of tests/boot, some three minutes.
boot-table: $(READY)
	$(BIN)/python tools/boot_table.py docs/boot-results.md

# Asks firmware and others about some two hundred signed images, about two minutes.
verdict-table: $(READY)
	FUKI_WRITE_VERDICTS=1 $(BIN)/pytest -q tests/boot/test_signature_verdicts.py

# The pictures of pages in the documentation, by Debian's Chromium.
screenshots: $(READY)
	$(BIN)/python tools/screenshots.py docs/images

# The programs that fuki-qemu ships, from their sources.
probes: $(READY)
	$(BIN)/python plugins/fuki-qemu/tools/build_probes.py --stub "$$($(BIN)/python tools/parts.py stub-x64)" \
	    plugins/fuki-qemu/fuki_qemu/programs

# The programs that fuki-hand-over ships, from their sources.
hand-over: $(READY)
	$(BIN)/python plugins/fuki-hand-over/tools/build_program.py plugins/fuki-hand-over/fuki_hand_over/programs

FUZZ_SECONDS ?= 20
fuzz: $(READY)
	$(BIN)/pip install --quiet --group fuzz
	$(BIN)/python tests/fuzz/run.py --seconds $(FUZZ_SECONDS)
	$(BIN)/python plugins/fuki-hand-over/tests/support/hand_over_fuzz.py --seconds $(FUZZ_SECONDS)

# Changes the code of formats and measure, and tells which changes no test notices. All of it takes hours, so name what
# you work on: make mutants MUTANTS='fuki_build.formats.uki.efifw*'. What is named in formats is for its own tests to
# notice; those of measure reach most of it, and would take most of the time.
MUTANTS ?=
OF_MEASURE := tests/measure tests/peers/test_systemd_measure.py tests/release/test_machine_update.py \
    $(addprefix tests/cli/test_,measure.py replay.py replay_policy.py)
mutants: $(READY)
	$(BIN)/pip install --quiet --group mutants
	mkdir -p mutants
	ln -sfn ../.parts mutants/.parts
	PYTEST_ADDOPTS='$(if $(filter fuki_build.formats%,$(MUTANTS)),$(OF_MEASURE:%=--ignore=%))' \
	    $(BIN)/mutmut run --max-children 2 $(if $(MUTANTS),'$(MUTANTS)')
	$(BIN)/mutmut results

clean:
	rm -rf $(VENV) .parts build dist mutants examples/*/out examples/*/parts
