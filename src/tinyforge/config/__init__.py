"""Every setting and its default, one file per stage."""
