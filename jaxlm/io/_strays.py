"""Stray files, which operating systems, viewers and network file systems leave in folders."""

import fnmatch

# In lower case: of macOS, Windows, Linux desktops, network file systems, and of git.
STRAYS = (
    *(
        ".ds_store",
        "._*",
        ".localized",
        ".trashes",
        ".spotlight-v100",
        ".fseventsd",
        ".temporaryitems",
        "icon\r",
    ),
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *(".directory", ".trash-*", "lost+found"),
    *(".nfs*", ".fuse_hidden*", ".snapshot", ".zfs", "@eadir"),
    *(".gitkeep", ".gitignore", ".keep"),
)


def is_stray(name: str) -> bool:
    """Returns whether a file is one that operating systems leave in folders, such as `.DS_Store`.

    A folder that holds only such files counts as empty.

    Args:
      name: the path of the file below its folder.

    Example:
      >>> from jaxlm.io import is_stray
      >>> is_stray("state/._manifest.ocdbt"), is_stray("Thumbs.db"), is_stray("meta.json")
      (True, True, False)
    """
    return any(fnmatch.fnmatchcase(word.lower(), stray) for word in name.split("/") for stray in STRAYS)
