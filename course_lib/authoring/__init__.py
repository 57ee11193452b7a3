"""How a lesson comes into being, and what it has to fulfil.

To contribute a lesson `N.M-topic`:

1. `python -m course_lib.authoring new notebooks/N.M-topic.ipynb` lays a skeleton with every
   section; the same for `solutions/N.M-topic.ipynb`. Write in JupyterLab, or as a plain file:
   `jupytext --to py:percent notebooks/N.M-topic.ipynb -o /tmp/draft.py`, edit, and back with
   `jupytext --to ipynb /tmp/draft.py -o notebooks/N.M-topic.ipynb`.
2. A task is one code cell of the solution that begins with `%%task NAME`. What the learner
   writes stands between `### BEGIN SOLUTION` and `### END SOLUTION`; a cell tagged `solution`
   is for the solution alone. Its graders go to `tests/exercises/` (`test_N_M.py`, `N.M.toml`).
3. `... execute notebooks/N.M-topic.ipynb solutions/N.M-topic.ipynb` runs both in a fresh kernel
   and stores the outputs in normal form, so that a second run changes nothing but pictures.
4. `... generate solutions/N.M-topic.ipynb` writes `exercises/N.M-topic.ipynb`.
5. `... check PATH...` lists what a notebook breaks of the contract; silence means well done.

Stored text must be the same on every run: print relations, not times; give figures of real
measurements `steady=False`; show figures and cards as the last expression of a cell.
"""
