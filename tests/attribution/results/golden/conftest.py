"""The scripts of this folder run in an environment of their own, which has what the tests' has not."""

collect_ignore_glob = ["*.py"]
