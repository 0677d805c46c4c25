"""The command `hetu`: verify, look into and convert models."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from hetu.errors import HetuError, UsageError, show
from hetu.onnx import Report, export, inspect_model, load_onnx, verify
from hetu.runtime.executor import Executor
from hetu.tables import print_rows

EXIT_CODES = {"equal": 0, "different": 1, "incomplete": 3, "failed": 3}
"""By a report's status; wrong usage and files that are no models are 2."""

_BAD = 2
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    try:
        options = _parser().parse_args(arguments)
        code = options.run(options)
        sys.stdout.flush()
    except HetuError as error:
        return _fail(str(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # whoever reads has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return _fail(str(error))
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _fail(message: str) -> int:
    print(f"hetu: error: {' '.join(message.split())}", file=sys.stderr)
    return _BAD


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are those of everything else: one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="hetu", description="Work with ONNX models.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_verify(commands)
    _add_info(commands)
    _add_convert(commands)
    return parser


def _add_verify(commands: "argparse._SubParsersAction[_Parser]") -> None:
    parser = commands.add_parser(
        "verify",
        help="compare hetu's results with ONNX Runtime's",
        description="Exit code 0: equal; 1: different; 2: wrong usage or no model; 3: a side "
        "failed, or outputs are random, so that there is nothing to compare.",
    )
    parser.add_argument("model", metavar="MODEL", type=Path)
    parser.add_argument("--inputs", metavar="FILE.npz", type=Path, help="arrays by input's name")
    parser.add_argument("--rtol", type=float, default=1e-3, help="relative tolerance of floats")
    parser.add_argument("--atol", type=float, default=1e-5, help="absolute tolerance of floats")
    parser.add_argument("--intermediates", action="store_true", help="compare every value")
    parser.add_argument("--seed", type=int, default=0, help="of generated inputs")
    parser.add_argument(
        "--size", metavar="NAME=N", action="append", default=[], type=_size,
        help="size of an open dimension of generated inputs; may be repeated",
    )  # fmt: skip
    parser.add_argument("--timeout", type=float, default=300, help="of ONNX Runtime, in seconds")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=_verify)


def _add_info(commands: "argparse._SubParsersAction[_Parser]") -> None:
    parser = commands.add_parser("info", help="show what is in a model")
    parser.add_argument("model", metavar="MODEL", type=Path)
    parser.set_defaults(run=_info)


def _add_convert(commands: "argparse._SubParsersAction[_Parser]") -> None:
    parser = commands.add_parser("convert", help="write a model at another opset")
    parser.add_argument("model", metavar="MODEL", type=Path)
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("--opset", type=int, required=True, help="version of ai.onnx")
    parser.add_argument(
        "--external-data", metavar="yes|no|NAME", type=_external_data,
        help="put weights into a file beside OUT, of this name if one is given; "
        "otherwise where they are large, or were outside before",
    )  # fmt: skip
    parser.set_defaults(run=_convert)


def _size(text: str) -> tuple[str, int]:
    name, _, number = text.rpartition("=")
    if not name or not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{show(text)} is not NAME=N")
    return name, int(number)


def _external_data(text: str) -> bool | str:
    return {"yes": True, "no": False}.get(text, text)


def _verify(options: argparse.Namespace) -> int:
    report = verify(
        options.model,
        _read_arrays(options.inputs) if options.inputs else None,
        options.rtol,
        options.atol,
        intermediates=options.intermediates,
        seed=options.seed,
        sizes=dict(options.size),
        timeout=options.timeout,
    )
    if options.json:
        print(report.to_json())
    else:
        _print_report(report)
    return EXIT_CODES[report.status]


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except OSError as error:
        raise UsageError(f"cannot read {show(str(path))}: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{show(str(path))} is no .npz file of plain arrays") from error


def _print_report(report: Report) -> None:
    print(f"{report.status}: {report.summary}")
    if report.comparisons:
        print_rows(report.rows())
    print("with " + ", ".join(f"{name} {version}" for name, version in report.versions.items()))


def _info(options: argparse.Namespace) -> int:
    info = inspect_model(options.model)
    facts = {
        "producer": info.producer,
        "IR version": info.ir_version,
        "opsets": ", ".join(f"{domain} {version}" for domain, version in info.opsets.items()),
        "parameters": f"{info.parameters:,}, of these trainable {info.trainable:,}",
        "functions": ", ".join(info.functions),
        **{f"metadata {key}": text for key, text in info.metadata.items()},
    }
    print_rows([("fact", ""), *((name, str(text)) for name, text in facts.items() if text)])
    print_rows([("input", "type"), *info.inputs.items()])
    print_rows([("output", "type"), *info.outputs.items()])
    print_rows([("operator", "nodes"), *((n, str(count)) for n, count in info.operators.items())])
    if info.unsupported:
        counts = ((name, str(count)) for name, count in info.unsupported.items())
        print_rows([("unsupported operator", "nodes"), *counts])
    return 0


def _convert(options: argparse.Namespace) -> int:
    model = load_onnx(options.model)
    outputs = list(model.outputs.values())
    inputs = list(model.inputs.values())
    export(
        Executor(outputs),
        inputs,
        outputs,
        options.out,
        opset=options.opset,
        external_data=options.external_data,
    )
    return 0
