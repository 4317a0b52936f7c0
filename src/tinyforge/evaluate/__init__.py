"""Judging a predictor on rows it has not seen: scores, baselines, verdict, report."""
