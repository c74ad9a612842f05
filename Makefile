.DEFAULT_GOAL := help
.PHONY: help demo up test test-compose image wheel simulate upgrade-rehearsal bench bench-growth bench-backlog check lock clean venv
PYTHON ?=
export PYTHON

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: venv ## the whole story on this machine, with servers of its own, in half a minute
	@.venv/bin/selaras demo

up: venv ## start everything and keep it running; Ctrl-C stops it
	@.venv/bin/selaras up

test: venv ## all tests, on real servers: two sets of private ones side by side, or one's own one test after another
	@.venv/bin/pytest $(if $(SELARAS_AMQP_URL),,-n 2 --dist loadfile)

test-compose: venv ## deploy/ for real: its containers, with the tests of tests/compose against them (needs Docker)
	@sh scripts/test-compose.sh

IMAGE ?= selaras:$(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
image: ## the container image IMAGE=selaras:VERSION (needs Docker)
	@docker info >/dev/null 2>&1 || { echo "make image needs Docker, running." >&2; exit 1; }
	@docker build -f deploy/Dockerfile -t $(IMAGE) --build-arg VERSION=$(lastword $(subst :, ,$(IMAGE))) \
		--build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) .

wheel: venv ## dist/selaras-VERSION-py3-none-any.whl: pip install 'FILE[embedded]' makes `selaras` work anywhere
	@.venv/bin/python -m hatchling build -t wheel -d dist

SEEDS ?= 20000
simulate: venv ## the exchange through SEEDS=20000 more random lives of a school, or SEEDS=17..17
	@.venv/bin/python -m tests.simulation $(SEEDS)

RECORDS ?= 1000000
upgrade-rehearsal: venv ## migrations under RECORDS=1000000 records a side, with the release before at work: minutes, 5 GB
	@.venv/bin/python -m tests.upgrade.rehearsal $(RECORDS)

RUNS ?= 5
bench: venv ## speed beside bare, medians of RUNS=5; WHAT=W1,W4: some of it; SMALL=1: only to see that it works
	@.venv/bin/python -m bench --runs $(RUNS) --only "$(WHAT)" $(if $(SMALL),--small) --json $(or $(OUT),.run/bench/speed.json)

bench-growth: venv ## the cost of a change as registry, schools and school grow: half an hour; WHAT=registry, SMALL=1
	@.venv/bin/python -m bench growth --only "$(WHAT)" $(if $(SMALL),--small) --json $(or $(OUT),.run/bench/growth.json)

MESSAGES ?= 100000
bench-backlog: venv ## memory of the services while MESSAGES=100000 wait; WHAT=changes,syncs,pulls
	@.venv/bin/python -m bench backlog --messages $(MESSAGES) --only "$(or $(WHAT),changes)" --json $(or $(OUT),.run/bench/backlog.json)

check: venv ## style, types, and who may import whom
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/lint-imports

lock: venv ## make requirements.lock anew from pyproject.toml (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: pipx install uv" >&2; exit 1; }
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--all-extras pyproject.toml -o requirements.lock

clean: ## remove all that can be made again: .venv, the private servers' data, caches
	@rm -rf .venv .run dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find services tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@sh scripts/bootstrap.sh
