"""The edge between commands and shell: errors become a message on stderr and an exit code, shared options become parameters."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import typer

from netassay.cli.exit_codes import ExitCode
from netassay.errors import InputError, NetassayError

UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
"""What a full, failing or forbidden disk says."""
NO_PLACE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP}
"""What a path says that leads nowhere: a folder that cannot be made, a file where a folder should be, or the other way round."""


def command(function: Callable[..., ExitCode | None]) -> Callable[..., None]:
    """Makes a command: groups of options (dataclasses) are spread into parameters, errors into exit codes.

    The function's exit code becomes the process's. An ``InputError``, a disk that cannot be written to and a path that leads
    nowhere are told in one line (exit 2), an interrupt exits 130, anything else is a bug of netassay (exit 4); ``--debug``
    adds the traceback.
    """
    hints = get_type_hints(function, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if is_dataclass(hint)}

    @functools.wraps(function)
    def wrapper(**values: Any) -> None:
        debug = bool(values.get("debug", False))
        try:
            code = function(**_gathered(values, groups))
            sys.stdout.flush()
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            code = ExitCode.INTERRUPTED
        except Exception as error:
            code = failed(error, debug=debug)
        if code:
            raise typer.Exit(int(code))

    return _with_parameters(wrapper, _spread(function, hints, groups))


def failed(error: Exception, *, debug: bool) -> ExitCode:
    """Tells what went wrong, and which exit code says so."""
    code = _told(error, debug)
    _drop_unwritable_output()
    return code


def _gathered(values: dict[str, Any], groups: dict[str, Any]) -> dict[str, Any]:
    """Values of single parameters, and one object per group of options."""
    arguments = dict(values)
    for name, group in groups.items():
        arguments[name] = group(**{f.name: arguments.pop(f.name) for f in fields(group)})
    return arguments


def _spread(function: Callable[..., Any], hints: dict[str, Any], groups: dict[str, Any]) -> list[inspect.Parameter]:
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in groups:
            parameters += [_option(field, get_type_hints(groups[name], include_extras=True)) for field in fields(groups[name])]
        else:
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))
    return parameters


def _option(field: Any, hints: dict[str, Any]) -> inspect.Parameter:
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name])


def _with_parameters(wrapper: Callable[..., None], parameters: list[inspect.Parameter]) -> Callable[..., None]:
    target: Any = wrapper
    del target.__wrapped__
    target.__signature__ = inspect.Signature(parameters)
    target.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def _told(error: Exception, debug: bool) -> ExitCode:
    if isinstance(error, typer.Exit):
        return ExitCode(error.exit_code)
    if debug:
        traceback.print_exception(error)
    if isinstance(error, BrokenPipeError):
        return ExitCode.INTERRUPTED
    if isinstance(error, InputError):
        print(f"error: {error}", file=sys.stderr)
        return ExitCode.BAD_INPUT
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror}; free space there, or write elsewhere (--out, --report, stdout)", file=sys.stderr)
        return ExitCode.BAD_INPUT
    if isinstance(error, OSError) and error.errno in NO_PLACE and error.filename:
        where = error.filename2 or error.filename
        print(f"error: {where}: {error.strerror}; name a file or folder that is there, or that can be made", file=sys.stderr)
        return ExitCode.BAD_INPUT
    kind = "" if isinstance(error, NetassayError) else f"{type(error).__name__}: "
    print(f"internal error: {kind}{error}", file=sys.stderr)
    if not debug:
        print("this is a bug in netassay; --debug shows where it happened", file=sys.stderr)
    return ExitCode.INTERNAL


def _drop_unwritable_output() -> None:
    """Sends what stdout still holds nowhere if it cannot be written: Python would try again at exit, and fail with a code of its own."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
