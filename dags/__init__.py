"""The Beam DAGs and the command line: the application, which nothing imports, so it may say what is logged."""

import logging

logging.basicConfig(level=logging.ERROR, format="webtext: %(message)s")  # Beam's libraries warn of what is no concern here
logging.getLogger("pipeline").setLevel(logging.WARNING)
