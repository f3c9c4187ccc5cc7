"""The script of this folder runs in an environment of its own, which has what the tests' has not."""

collect_ignore_glob = ["*.py"]
