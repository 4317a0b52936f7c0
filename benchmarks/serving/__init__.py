"""TinyForge's server under load and abuse, some of it beside other servers."""
