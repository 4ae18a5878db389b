"""Sphinx configuration. `make docs` builds the pages, offline, with warnings as errors."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "edgepack"
author = "the edgepack authors"
copyright = author  # the name that Sphinx reads
release = version = metadata.version("edgepack")

extensions = ["myst_parser", "sphinx.ext.autodoc", "edgepack_reference"]
exclude_patterns = ["_build"]
nitpicky = True
# Types of other packages have no page here, and no inventory is fetched: only our own names must resolve.
nitpick_ignore_regex = [
    ("py:.*", r"(?!edgepack\.).*"),
    ("py:.*", r".*\._\w+"),
    ("py:class", r"edgepack\.app\.template\.App"),
]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

default_role = "code"  # docstrings mark code by single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"SchemeName": "SchemeName"}
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = "edgepack"
html_static_path = ["_static"]
html_css_files = ["edgepack.css"]
html_copy_source = False
html_show_sphinx = False
smartquotes = False  # would turn the dashes of options into one
pygments_style = "friendly"
pygments_dark_style = "monokai"
highlight_language = "text"
