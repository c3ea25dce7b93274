"""Corpus building: submissions in, corpus shards out.  One file a stage."""
