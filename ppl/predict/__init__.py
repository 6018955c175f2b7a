"""Predictive draws and pointwise log likelihoods as NumPy arrays, tables and files."""

from ppl.predict.predicted import Predicted, notes_on, predict, predict_prior, warn_of

__all__ = ["Predicted", "notes_on", "predict", "predict_prior", "warn_of"]
