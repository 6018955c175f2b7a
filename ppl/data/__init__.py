"""Data: files and Python values in, scalars and numpy arrays of the declared types out."""

from ppl.data.bind import bind_data as bind_data
from ppl.data.evaluate import dims_of as dims_of
from ppl.data.evaluate import sizes as sizes
from ppl.data.files import beside as beside
from ppl.data.files import load_file as load_file

__all__ = ["beside", "bind_data", "dims_of", "load_file", "sizes"]
