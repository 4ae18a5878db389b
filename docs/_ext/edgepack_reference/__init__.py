"""Reference pages rendered from the code: ```` ```{edgepack} SUBJECT ```` in a page becomes its section.

The pages cannot disagree with the code, because nothing that is rendered here is committed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

from edgepack_reference import api, catalog, commands, models

if TYPE_CHECKING:
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

SUBJECTS: dict[str, Callable[[], str]] = {
    "api": api.reference,
    "cli": commands.reference,
    "settings": models.settings,
    "target-file": models.target_file,
    "recipe-file": models.recipe_file,
    "contract": models.contract,
    "contract-schema": models.contract_schema,
    "template-file": models.template_file,
    "targets": catalog.targets,
    "formats": catalog.formats,
    "schemes": catalog.schemes,
    "errors": catalog.errors,
    "imports": catalog.imports,
    "templates": catalog.templates,
}
"""What can be rendered, and the function that returns it as Markdown."""


class Reference(SphinxDirective):
    """```` ```{edgepack} SUBJECT ````: the section that `SUBJECTS[SUBJECT]` returns.

    Text with headings must begin with one: MyST adds sections to the page itself, before all else.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        subject = self.arguments[0]
        if subject not in SUBJECTS:
            raise self.error(f"there is no subject '{subject}': {', '.join(SUBJECTS)}")
        return self.parse_text_to_nodes(SUBJECTS[subject](), allow_section_headings=True)


def _resolve_by_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """A link to the documented object of the same last name: types are documented where users import them
    from, and annotations name the module that defines them."""
    if node.get("refdomain") != "py":
        return None
    name = str(node["reftarget"]).rpartition(".")[2]
    documented = env.domains.python_domain.objects.items()
    found = [(full, entry) for full, entry in documented if full.rpartition(".")[2] == name]
    classes = [(full, entry) for full, entry in found if entry.objtype in ("class", "exception")]
    if len(classes) != 1:
        return None
    full, entry = classes[0]
    page = str(node["refdoc"])
    return make_refnode(app.builder, page, entry.docname, entry.node_id, content, full)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive, and the resolution of types."""
    app.add_directive("edgepack", Reference)
    app.connect("missing-reference", _resolve_by_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
