"""Predictive draws and pointwise log likelihoods as NumPy arrays, tables and files."""

from ppl.predict.predicted import Predicted, known_laws, notes_on, predict, predict_prior

__all__ = ["Predicted", "known_laws", "notes_on", "predict", "predict_prior"]
