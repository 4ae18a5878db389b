"""Reference pages rendered from the code: ```` ```{edgepack} SUBJECT ```` in a page becomes its section.

The pages cannot disagree with the code, because nothing that is rendered here is committed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from edgepack_reference import catalog, commands, models

if TYPE_CHECKING:
    from sphinx.application import Sphinx

SUBJECTS: dict[str, Callable[[], str]] = {
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
    "templates": catalog.templates,
}
"""What can be rendered, and the function that returns it as Markdown."""


class Reference(SphinxDirective):
    """```` ```{edgepack} SUBJECT ````: the section that `SUBJECTS[SUBJECT]` returns."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        subject = self.arguments[0]
        if subject not in SUBJECTS:
            raise self.error(f"there is no subject '{subject}': {', '.join(SUBJECTS)}")
        return self.parse_text_to_nodes(SUBJECTS[subject](), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("edgepack", Reference)
    # Without a cache of pages, a change of the code is a change of the pages.
    return {"parallel_read_safe": True, "parallel_write_safe": True}
