"""The documentation as a site: `make docs`.

The source is the repository itself, so that the links of a page lead where they lead when it is read as a file.  Nothing is
fetched, neither by the build nor by who reads the site.
"""

from importlib.metadata import version as version_of

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "webtext"
author = "the authors of webtext"
copyright = "Apache-2.0; the texts of a corpus belong to their authors"
version = release = version_of("webtext")

extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["docs/*.md", "benchmarks/**.md", "examples/README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
exclude_patterns = [".venv", ".git", "data", "tests", "**/__pycache__"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3
nitpicky = True
smartquotes = False  # --since is a flag

html_theme = "furo"
html_title = "webtext"
html_extra_path = ["front"]  # index.html, which leads on to docs/
html_copy_source = False
html_show_sphinx = False
html_last_updated_fmt = None  # no clock: the same pages, the same bytes
html_theme_options = {"navigation_with_keys": True}


def setup(app: Sphinx) -> None:
    app.add_lexer("mermaid", TextLexer)  # its source is shown: a drawing would need a script from elsewhere
