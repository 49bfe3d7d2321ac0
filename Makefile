# Everything is one command here. Each target does only what is missing, says what it does and how long it
# took, and can be interrupted and run again. What is built lies in ${SLIPWAY_CACHE:-~/.cache/slipway}.
#
#   KUBE_CONTEXT=name    use this cluster instead of a local one
#   BASE_IMAGE=name      build the images on this one
#   PYTHON=path          a Python 3.11

PYTHON ?= $(or $(shell command -v python3.11),python3)
KUBE_CONTEXT ?=
VENV := .venv/bin/python
CLUSTER := $(PYTHON) dev/cluster
export KUBE_CONTEXT

.DEFAULT_GOAL := help
.PHONY: help venv cluster images demo test test-long check generate golden bench lock recycle status down clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: ## Make .venv with everything that tests, checks and the demo need
	@$(PYTHON) dev/tools/venv.py

cluster: venv ## Start a Kubernetes with two CPU nodes and a GPU node, or use KUBE_CONTEXT
	@$(VENV) dev/cluster up

images: cluster ## Build the operator's and the runner's images and load them
	@$(VENV) dev/cluster images

demo: images ## Train, register, validate and promote a model, from nothing
	@$(VENV) dev/demo

test: images ## Run every test, on the cluster
	@$(CLUSTER) tools
	@$(VENV) -m pytest tests --numprocesses=2 --durations=15

test-long: images ## Run what takes long: demos that are killed and run again, and thousands of examples of all that may happen
	@SLIPWAY_EXAMPLES=2000 $(VENV) -m pytest tests/controller/test_friday.py tests/controller/test_stored_objects.py
	@$(VENV) -m pytest tests -m long

check: venv ## Lint, types, import rules, generated files and the fast tests; needs no cluster
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy operator/slipway
	@PYTHONPATH=operator .venv/bin/lint-imports
	@$(VENV) dev/generate --check
	@$(VENV) -m pytest -q tests/core tests/resources tests/controller tests/docs

generate: venv ## Write CRDs and reference documents anew from the types
	@$(VENV) dev/generate

golden: venv ## Write the golden manifests anew; review the difference
	@GOLDEN=write $(VENV) -m pytest -q tests/resources

bench: images ## Measure the operator, on the cluster and on simulated nodes, and write the report
	@$(VENV) bench

lock: venv ## Resolve requirements/*.in into pinned, hashed lists
	@$(VENV) dev/tools/lock.py

recycle: ## Make the local cluster's released volumes available again
	@$(CLUSTER) recycle

status: ## Say what runs
	@$(CLUSTER) status

down: ## Remove the cluster and everything in it; keeps what was built
	@$(CLUSTER) down --purge

clean: down ## Remove what was built, too
	@$(CLUSTER) clean
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
