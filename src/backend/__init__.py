"""The tutorials' import path; everything lives in ``tinyforge``."""
