"""Archives of numpy arrays, read without trusting them."""

from __future__ import annotations

import warnings
from typing import Any, BinaryIO

import numpy as np

from ppl.data.faults import reject, shown
from ppl.data.files import reason
from ppl.data.misfit import is_ndarray
from ppl.data.values import Unreadable


def read_archive(name: str) -> dict[str, object]:
    """The arrays of an .npz file; those that cannot be read are `Unreadable`. Raises DataError if it is none."""
    try:
        with open(name, "rb") as file:  # opened here, as numpy does not close what it fails to read
            return _members(file, name)
    except (OSError, ValueError) as error:
        reject(f"cannot be opened: {reason(error)}", name)


def _members(file: BinaryIO, name: str) -> dict[str, object]:
    try:
        # Pickles stay closed: they may run code. On corrupt archives numpy and zipfile raise a dozen unrelated types.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded: Any = np.load(file, allow_pickle=False)
    except Exception:
        reject("this is not an .npz archive", name, hint="write it with `numpy.savez`")
    if not isinstance(loaded, np.lib.npyio.NpzFile):
        reject("this is a single array, not an .npz archive", name, hint="write it with `numpy.savez`")
    with loaded:
        members = list(loaded.files)
        for member in members:
            if members.count(member) > 1:
                reject(f"the array `{shown(member)}` occurs twice in the archive", name)
        return {member: _member(loaded, member) for member in members}


def _member(archive: Any, member: str) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array = archive[member]
    except Exception as error:  # as above; which field is concerned matters only if the program declares it
        pickled = "allow_pickle" in str(error)
        return Unreadable("an array of Python objects, which is never read" if pickled else "damaged in the archive")
    return array if is_ndarray(array) else Unreadable("not an array")
