"""hetu's results against ONNX Runtime's, value by value."""

import math
import time
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import count, takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from onnx import inliner

from hetu.errors import UsageError, VerificationError
from hetu.onnx.array_reader import ArrayReader
from hetu.onnx.external import ExternalReader
from hetu.onnx.hetu2onnx import export
from hetu.onnx.onnx2hetu import LoadedModel, ModelSource, load_onnx, read_proto
from hetu.onnx.verification.compare import Tolerance, compare
from hetu.onnx.verification.feeds import check_inputs
from hetu.onnx.verification.generate import feeds_of, generate, tensor_dims
from hetu.onnx.verification.hetu_side import HetuSide, describe_error
from hetu.onnx.verification.outline import Outline
from hetu.onnx.verification.randomness import random_values
from hetu.onnx.verification.report import Report, comparison_of
from hetu.onnx.verification.runtime import Job, Run, check_installed, run_onnx_runtime
from hetu.onnx.verification.sizes import bind, check_known, first_guess, other_guesses, symbols
from hetu.onnx.verification.variant import (
    feedable,
    has_external_data,
    intermediates_job,
    main_job,
)
from hetu.progress import Progress
from hetu.runtime.executor import Executor

_SEARCH_SECONDS = 120
_PACKAGES = ("hetu-onnx", "onnx", "onnxruntime", "torch")


def verify(
    model: ModelSource | LoadedModel,
    inputs: Mapping[Any, Any] | None = None,
    rtol: float = 1e-3,
    atol: float = 1e-5,
    *,
    intermediates: bool = False,
    raise_on_failure: bool = False,
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
    timeout: float | None = 300,
) -> Report:
    """Compare what hetu computes with what ONNX Runtime, in a process of its own, computes.

    `inputs` are arrays by input's name or value; those not given are generated from `seed`, with
    `sizes` for open dimensions by name (unnamed ones are called `input[axis]`). Floats agree where
    the error is at most `atol + rtol * |expected|`, types of fewer than 32 bits also where they are
    a rounding step off; everything else has to be equal, and NaN equals NaN.

    Outputs are compared with ONNX Runtime's default optimizations. `intermediates` also compares
    every value that the main graph makes, and the functions that it calls (not where the model has
    external data), without optimizations, because those remove values. What branches and loop
    bodies make is not compared.

    Raises `ModelError` for a file that cannot be read as a model, `UsageError` for wrong arguments,
    and `VerificationError`, which has the report, where `raise_on_failure` and it is not ok.
    `timeout` is in seconds, for each run of ONNX Runtime.
    """
    check_installed()
    tolerance = _tolerance(rtol, atol)
    with TemporaryDirectory(prefix="hetu-verify-") as name:
        folder = Path(name)
        task = _Task(_model_file(model, folder), folder, tolerance, seed, timeout, count())
        report = task.report(inputs or {}, sizes or {}, intermediates)
    if raise_on_failure and not report.ok:
        raise VerificationError(report.summary, report)
    return report


def _tolerance(rtol: float, atol: float) -> Tolerance:
    for name, number in (("rtol", rtol), ("atol", atol)):
        if not (math.isfinite(number) and number >= 0):
            raise UsageError(f"{name} must be a number of at least 0, not {number}")
    return Tolerance(float(rtol), float(atol))


def _model_file(model: ModelSource | LoadedModel, folder: Path) -> Path:
    """The path of the model; one that is no file yet becomes one."""
    if isinstance(model, LoadedModel):
        path, outputs = folder / "model.onnx", list(model.outputs.values())
        export(Executor(outputs), list(model.inputs.values()), outputs, path)
        return path
    proto, source_folder = read_proto(model)
    if source_folder is not None:
        return Path(model)  # pyright: ignore[reportArgumentType] - only paths have a folder
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


@dataclass(frozen=True, slots=True)
class _Task:
    """One verification. `counter` numbers the runs of ONNX Runtime."""

    path: Path
    folder: Path
    tolerance: Tolerance
    seed: int
    timeout: float | None
    counter: Iterator[int]

    def report(
        self, inputs: Mapping[Any, Any], sizes: Mapping[str, int], intermediates: bool
    ) -> Report:
        """Run both sides and compare."""
        proto, _ = read_proto(self.path)
        given = check_inputs(proto, inputs)
        try:
            model = load_onnx(self.path)
            hetu = HetuSide(model, list(model.outputs), self.seed)
        except Exception as error:  # whatever it is, hetu failed, and the report says so
            return self._without_hetu(proto, given, describe_error(error))
        with ArrayReader(Progress("reading")) as arrays:
            outline = Outline(proto, ExternalReader(self.path.parent, arrays))
        del proto  # its weights are in memory a second time
        feeds, ours, theirs = self._run_both(hetu, outline, given, sizes)
        random = random_values(outline, feeds)
        report = _report(feeds, ours, theirs)
        report = replace(report, random=tuple(name for name in hetu.names if name in random))
        if ours.error or theirs.error:
            return report
        report = self._compared(report, hetu, ours, theirs, is_output=True)
        return self._with_intermediates(report, hetu, random) if intermediates else report

    def _without_hetu(self, proto: onnx.ModelProto, given: Mapping[str, Any], error: str) -> Report:
        """The report where hetu cannot load the model: whether ONNX Runtime can."""
        is_complete = all(info.name in given for info in feeds_of(proto))
        job = main_job(self.path, given, self.folder)
        theirs = self._run_job(job, feedable(given) if is_complete else None)
        return _report(given, Run(error=error), theirs)

    def _run_both(
        self, hetu: HetuSide, outline: Outline, given: Mapping[str, Any], sizes: Mapping[str, int]
    ) -> tuple[Mapping[str, Any], Run, Run]:
        """Feeds, and what the two sides make of them.

        Where neither takes generated ones, other sizes are tried.
        """
        dims = tensor_dims(outline.model, given)
        check_known(sizes, symbols(dims.values()))
        fixed = dict(sizes)
        for name in dims.keys() & given.keys():
            bind(dims[name], given[name].shape, fixed)
        guess = first_guess(dims.values(), fixed)
        feeds = generate(outline, dims, guess, given, self.seed)
        ours, theirs = hetu.run(feeds), self._run(feeds)
        if not ours.error or theirs.stage != "run" or guess.keys() <= fixed.keys():
            return feeds, ours, theirs
        deadline = time.monotonic() + _SEARCH_SECONDS
        guesses = other_guesses(guess, fixed, outline.model.graph.initializer)
        for other in takewhile(lambda _: time.monotonic() < deadline, guesses):
            others = generate(outline, dims, other, given, self.seed)
            found = hetu.run(others)
            if not found.error:
                return others, found, self._run(others)
        return feeds, ours, theirs

    def _run(self, feeds: Mapping[str, Any]) -> Run:
        return self._run_job(main_job(self.path, feeds, self.folder), feedable(feeds))

    def _run_job(self, job: Job, feeds: Mapping[str, Any] | None) -> Run:
        folder = self.folder / f"run{next(self.counter)}"
        return run_onnx_runtime(job, feeds, folder, self.timeout)

    def _with_intermediates(self, report: Report, outer: HetuSide, random: Set[str]) -> Report:
        """The report with everything that the nodes make."""
        proto, model = self._inlined(outer.model)
        named = (name for node in proto.graph.node for name in node.output if name)
        names = [name for name in named if name not in random and name not in outer.names]
        hetu = HetuSide(model, names, self.seed)
        ours = hetu.run(report.inputs)
        job = intermediates_job(proto, names, self.path, report.inputs, self.folder)
        theirs = self._run_job(job, feedable(report.inputs))
        if ours.error or theirs.error:
            return replace(report, hetu_error=ours.error, runtime_error=theirs.error)
        return self._compared(report, hetu, ours, theirs, is_output=False)

    def _inlined(self, model: LoadedModel) -> tuple[onnx.ModelProto, LoadedModel]:
        """The model with the bodies of its functions in place of calls, on both sides."""
        proto, _ = read_proto(self.path)
        if not proto.functions or has_external_data(proto):
            return proto, model
        proto = inliner.inline_local_functions(proto)
        return proto, load_onnx(proto)

    def _compared(
        self, report: Report, hetu: HetuSide, ours: Run, theirs: Run, *, is_output: bool
    ) -> Report:
        """The report with one side's values compared to the other's, all in topological order."""
        names = [name for name in hetu.names if name not in report.random]
        found = [
            comparison_of(
                hetu.model[name],
                compare(ours.outputs[name], theirs.outputs[name], self.tolerance),
                theirs.outputs[name],
                is_output,
            )
            for name in names
        ]
        found = sorted((*report.comparisons, *found), key=lambda c: hetu.position(c.name))
        return replace(report, comparisons=tuple(found))


def _report(feeds: Mapping[str, Any], ours: Run, theirs: Run) -> Report:
    """A report without comparisons."""
    versions = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return Report(
        inputs=feeds, hetu_error=ours.error, runtime_error=theirs.error, versions=versions
    )
