.PHONY: lab test setup lint lock bench

lab: .venv/.course-ready        ## set up, lay the workspace, open JupyterLab at lesson 0.0
	@.venv/bin/course lab

test: .venv/.tests-ready        ## set up and run every test
	@.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

setup: .venv/.course-ready      ## build .venv, start nothing

lint: .venv/.tests-ready        ## ruff, ruff format, mypy
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

lock: .venv/.course-ready       ## resolve pyproject.toml into the two locks
	@sh binder/lock.sh

bench: .venv/.tests-ready       ## measure, as ratios against named peers
	@.venv/bin/python -m tests.bench

# A .venv that moved with its folder, or whose Python is gone, is made anew.
ifneq ($(shell sh binder/setup.sh fits),fits)
.PHONY: .venv/.course-ready
endif

.venv/.course-ready: pyproject.toml binder/requirements.txt
	@sh binder/setup.sh

.venv/.tests-ready: .venv/.course-ready tests/requirements.txt
	@sh binder/setup.sh tests
