# What a contributor needs. `make demo` and `make test` set up everything they need in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all servers check soak bench bench-full figures docs site vendor screenshots clean

demo: .venv/.run
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh

# Twice as many workers as there are cores: many tests wait for the processes that they start.
WORKERS ?= $(shell expr 2 \* $$(getconf _NPROCESSORS_ONLN))
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal

# Minutes: every test that is quick, on SQLite; what both stores promise, on both; the laws with a few examples.
test: .venv/.dev
	$(PYTEST)

# All tests but the soak: those of `make test`, then the slow ones, some on the other store, and more examples of laws.
test-all: test
	DELTAMARK_TESTS=rest $(PYTEST)

# Real servers for tests/servers, on Debian and as root: a Samba domain controller, slapd and MariaDB; for tests/browser
# the browser Chromium. Starts nothing.
SERVERS := samba samba-ad-dc samba-ad-provision python3-samba winbind attr slapd ldap-utils mariadb-server \
	krb5-user libsasl2-modules-gssapi-mit chromium
SERVER_LIBRARIES := build-essential libldap2-dev libsasl2-dev

servers: .venv/.dev
	apt-get update -q
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $(SERVERS) $(SERVER_LIBRARIES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[ldap]'

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Every test on both stores; then the laws with many more examples, many processes on one store for two minutes, and
# hundreds of kills, power cuts, races and failing statements (docs/explanation/reliability.md); with seeds to repeat them.
# DELTAMARK_SOAK_SECONDS and DELTAMARK_SOAK_SEED choose others.
soak: .venv/.dev
	DELTAMARK_TESTS=all $(PYTEST)
	DELTAMARK_TESTS=soak $(BIN)/python -m pytest -o faulthandler_timeout=0 -m "law or soak" --hypothesis-show-statistics

# PEOPLE=1000000 make bench is another size; docs/performance.md says what is measured.
bench: .venv/.dev
	$(BIN)/python -m benchmarks $(if $(PEOPLE),--people $(PEOPLE))

# Other tools, in an environment of their own: dbt needs older libraries than the checks of this project.
.venv-rivals/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-rivals
	.venv-rivals/bin/python -m pip install --quiet --disable-pip-version-check -e '.[rivals,web]'
	@touch $@

# Every part at 1,000,000 people: an hour and more. LARGEST=10000000 lets part growth go on to ten million.
bench-full: .venv-rivals/.installed
	.venv-rivals/bin/python -m benchmarks jobs derived_values history direct_input sql_sources ldif start pages serve \
		adoption growth rivals --people $(or $(PEOPLE),1000000) --largest $(or $(LARGEST),1000000)

# The figures, charts and tables of docs/performance.md, in about so many minutes of a quiet machine.
figures: .venv-rivals/.installed
	.venv-rivals/bin/python -m benchmarks.report --minutes $(or $(MINUTES),15)

docs: .venv/.dev
	$(BIN)/python -m docs.generate_reference

# The documentation as a site with a search, to be opened from the folder: build/site/index.html
site: .venv/.dev
	$(BIN)/python -m sphinx -q -n -W --keep-going -c docs/site . build/site

# The scripts of others that the console serves, from the npm registry: needs npm. Refuses a package of another integrity.
vendor: .venv/.dev
	$(BIN)/python -m tests.web.console.vendor

# The pictures of the console in the documentation; needs Chromium (make servers).
screenshots: .venv/.dev
	$(BIN)/python -m tests.browser.screenshots

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Deltamark needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.run: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

.venv/.dev: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ .venv/.run

clean:
	rm -rf .venv demo build dist
