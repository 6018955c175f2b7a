"""Data: files and Python values in, scalars and arrays of the declared types out. See `ppl.data.bind.bind_data`."""
