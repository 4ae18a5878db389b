"""A command: a function that works on an open screen becomes what typer parses and calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand

JSON = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else, on stdout.")]
VERBOSE = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="Also print candidates, recipes, delegates, host figures and all notes."
    ),
]
DEBUG = Annotated[
    bool, typer.Option("--debug", help="After an error, also print its causes and the output of toolchains.")
]
_SPECIAL = ("screen", "options")

Work = TypeVar("Work", bound=Callable[..., None])


class Command(TyperCommand):
    """A command whose `--help` is plain text that groups the options by panel.

    Typer's own panels import rich, which takes longer than all the rest of `edgepack --help`.
    """

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line behind the command's name."""
        arguments = [_metavar(param) for param in self.get_params(ctx) if _is_argument(param)]
        return ["[OPTIONS]", *arguments]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then each panel of options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        params: list[Any] = self.get_params(ctx)
        for param in params:
            if _is_argument(param):
                sections.setdefault("Arguments", []).append((_metavar(param), param.help or ""))
            elif record := param.get_help_record(ctx):
                heading = getattr(param, "rich_help_panel", None) or "Options"
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def _is_argument(param: Any) -> bool:
    return bool(param.param_type_name == "argument")


def _metavar(argument: Any) -> str:
    name = str(argument.metavar)
    return name if argument.required else f"[{name}]"


def only(*names: str) -> Callable[[Work], Work]:
    """Of the options of a build, the command takes only these."""

    def marked(work: Work) -> Work:
        work.__dict__["options"] = names
        return work

    return marked


def add(group: typer.Typer, name: str, work: Callable[..., None]) -> None:
    """Make `work` the command `name` of a group.

    Its parameters are the arguments and flags, but for `screen`, which is open while it works, and `options`,
    a BuildOptions, which becomes one flag per field. Every command also has --debug.
    """
    group.command(name, cls=Command)(_parsed(work))


def summary(text: str | None) -> str:
    """The first paragraph of a help text, on one line."""
    return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())


def _parsed(work: Callable[..., None]) -> Callable[..., None]:
    """The function that typer calls with the values of the command line."""
    parameters, flags = _parameters(work)

    def run(context: typer.Context, debug: bool, **values: Any) -> None:
        from edgepack.cli.screen import Screen

        with Screen(debug=debug) as screen:
            if flags:
                values["options"] = _options({name: values.pop(name) for name in flags}, context)
            work(screen, **values)

    context = Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context)
    debug = Parameter("debug", Parameter.KEYWORD_ONLY, default=False, annotation=DEBUG)
    signature = [context, *parameters, debug]
    run.__doc__ = work.__doc__
    run.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in signature}
    return run


def _parameters(work: Callable[..., None]) -> tuple[list[Parameter], list[str]]:
    """The parameters of a command, and the names of those that are options of a build."""
    own = inspect.signature(work).parameters
    unevaluated = {"Screen": Any, "BuildOptions": Any}
    hints = get_type_hints(work, localns=unevaluated, include_extras=True)
    given = [
        each.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[name])
        for name, each in own.items()
        if name not in _SPECIAL
    ]
    if "options" not in own:
        return given, []
    from edgepack.cli import flags

    made = flags.parameters(work.__dict__.get("options", ()))
    return [*made, *given], [each.name for each in made]


def _options(values: dict[str, Any], context: typer.Context) -> Any:
    """The options that the command line gives. Raises PlanError if they are invalid."""
    from edgepack import options

    def is_given(name: str) -> bool:
        source = context.get_parameter_source(name)
        return source is not None and source.name != "DEFAULT"

    return options.parse({name: value for name, value in values.items() if is_given(name)})
