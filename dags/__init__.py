"""The Beam DAGs and the command line."""
