"""Configuration of the documentation: `sphinx-build -W -b html docs docs/_build/html`."""

import os
import shutil
from importlib.metadata import metadata
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

HERE = Path(__file__).parent

# Notebooks stand at the top of the repository; sphinx reads only below its own folder.
shutil.rmtree(HERE / "tutorials", ignore_errors=True)
shutil.copytree(
    HERE.parent / "tutorials", HERE / "tutorials", ignore=shutil.ignore_patterns(".*", "data")
)
for notebook in (HERE / "tutorials").glob("*.ipynb"):  # links to pages are right in both places
    text = notebook.read_text(encoding="utf-8").replace("](../docs/", "](../")
    notebook.write_text(text, encoding="utf-8")


info = metadata("domainvi")
project = "DomainVI"
author = "DomainVI developers"
copyright = f"2026, {author}"
version = release = info["Version"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
default_role = "literal"

autodoc_member_order = "groupwise"
autosummary_generate = True
autosummary_ignore_module_all = False  # the public names of a module are its __all__
autosummary_imported_members = True
napoleon_google_docstring = False
napoleon_attr_annotations = False
napoleon_use_rtype = False

# Types and defaults stand in the signature, one parameter a line.
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_display_short_literal_types = True
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # stored outputs are shown; .ci/run executes the notebooks
copybutton_exclude = ".linenos, .gp, .go"

# Inventories come from the network, so only where the documentation is published.
if os.environ.get("READTHEDOCS"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "anndata": ("https://anndata.readthedocs.io/en/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "pandas": ("https://pandas.pydata.org/docs/", None),
        "python": ("https://docs.python.org/3", None),
        "scanpy": ("https://scanpy.readthedocs.io/en/stable/", None),
        "scvi": ("https://docs.scvi-tools.org/en/stable/", None),
        "torch": ("https://docs.pytorch.org/docs/stable/", None),
    }


# Formulas are MathML, which browsers show without a script and without a network.
def mathml(node, display):
    formula = convert(node.astext(), display=display)
    formula = formula.replace("<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>")  # distributed as
    return formula.replace("<mi>log</mi>", '<mi>log</mi><mspace width="0.167em"/>')


def inline_math(writer, node):
    writer.body.append(mathml(node, "inline"))
    raise SkipNode


def block_math(writer, node):
    writer.body.append(f'<div class="math">{mathml(node, "block")}</div>')
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))


html_math_renderer = "mathml"
html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
# The field for searching stands in the side bar; the strip at the top would show it again.
html_theme_options = {
    "show_navbar_depth": 1,
    "use_download_button": False,
    "navbar_persistent": [],
}
