"""Where the models that ours are held against are not installed, comparisons with them are left out."""

import importlib.util

if not all(map(importlib.util.find_spec, ("torch", "transformers"))):
    collect_ignore_glob = ["oracle*.py", "parity*.py", "test_families_*.py", "test_training_parity.py"]
