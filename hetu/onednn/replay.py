"""Sequences of steps: recorded once (`watching.py`), then run with nothing in between.

A call of a primitive through its operation costs several times as much as of the primitive itself:
shapes are looked at, a result is made, tensors are put in their places. In a recorded sequence, all
but the data and the results lie where they lay the last time.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from operator import is_
from typing import NamedTuple

import torch

from hetu.onednn.binding import check
from hetu.onednn.packing import Packed
from hetu.onednn.primitive import workspace
from hetu.onednn.recording import Form, Recorded, Recording, Step, form_of
from hetu.onednn.watching import recorded
from hetu.threads import share

LARGEST = 1 << 27
"""A function becomes a sequence where what lies between its steps takes at most so many bytes."""

_MOST_RECORDS = 8
"""A function is recorded for so many forms of data, one after the other."""

_LINE = 64

_MANY = 16
"""Steps whose code is worth another thread to make it."""

Function = Callable[..., tuple[torch.Tensor, ...]]


class Spot(NamedTuple):
    """Where a tensor is used: a step, the position among its tensors, and from which byte on."""

    step: int
    position: int
    begin: int


_Put = tuple[Callable[[int, int], None], int, int]
"""What says where a tensor lies that is used at a spot, its position there, and the byte."""


class Replay:
    """A function of data and then weights, which is recorded for data of a form before it computes.

    It is run as a sequence if all that it would compute could be recorded.
    """

    def __init__(self, function: Function, data: int) -> None:
        self._function = function
        self._data = data
        self._records = 0
        self._sequence: _Sequence | None = None

    def __call__(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the function returns, in memory of its own."""
        made = None if self._sequence is None else self._sequence.run(inputs)
        if made is None and self._records < _MOST_RECORDS:
            self._sequence = self._recorded(inputs)
            made = None if self._sequence is None else self._sequence.run(inputs)
        return self._function(*inputs) if made is None else made

    def _recorded(self, inputs: tuple[torch.Tensor, ...]) -> "_Sequence | None":
        self._records += 1
        with recorded() as recording:
            results = self._function(*inputs)
        links = _link(recording, inputs, self._data, results) if recording.is_whole else None
        if links is None or links.nbytes > LARGEST:
            self._records = _MOST_RECORDS
            return None
        _make({run.step for run in recording.runs})
        return _Sequence(recording.runs, inputs, self._data, links)


@dataclass(frozen=True, slots=True)
class _Links:
    """What the tensors of recorded runs have to do with each other.

    `inputs` are the spots of each input, `same` the inputs that lie where another one before them
    does, and `constants` are further tensors with their spots. `places` are the spots of what lies
    between, by where it is to lie in memory of `nbytes`; `ends` are the forms and the spots of the
    memory that results lie in, and `results` are which of these, the byte and the form.
    """

    inputs: Sequence[Sequence[Spot]]
    same: Sequence[tuple[int, int]]
    constants: Sequence[tuple[torch.Tensor, Spot]]
    places: Mapping[int, Sequence[Spot]]
    nbytes: int
    ends: Sequence[tuple[Form, Sequence[Spot]]]
    results: Sequence[tuple[int, int, Form]]


def _make(steps: Collection[Step]) -> None:
    """Have the code of primitives made."""

    def take(rest: Iterator[Step]) -> None:
        for step in rest:
            _ = step.execute

    share(list(steps), take, min(torch.get_num_threads(), 1 + len(steps) // _MANY))


def _link(
    recording: Recording,
    inputs: Sequence[torch.Tensor],
    data: int,
    results: Sequence[torch.Tensor],
) -> _Links | None:
    """None where results are not made by the runs, or data lie nowhere or where a weight does."""
    extents = [_extent(tensor) for tensor in inputs]
    firsts: dict[int, int] = {}
    pairs = [(firsts.setdefault(begin, i), i) for i, (begin, _) in enumerate(extents)]
    same = [(first, index) for first, index in pairs if first < index]
    used = _used(recording, extents, firsts)
    if used is None or 0 in firsts or any(first < data <= index for first, index in same):
        return None
    ends: dict[int, int] = {}
    found: list[tuple[int, int, Form]] = []
    for result in results:
        buffer, begin = recording.span(result)
        if buffer is None or buffer not in used.buffers:
            return None
        found.append((ends.setdefault(buffer, len(ends)), begin, form_of(result)))
    between = {buffer: spots for buffer, spots in used.buffers.items() if buffer not in ends}
    places, nbytes = _places(recording.buffers, between)
    last = [(recording.buffers[buffer], used.buffers[buffer]) for buffer in ends]
    return _Links(used.inputs, same, used.constants, places, nbytes, last, found)


class _Used(NamedTuple):
    """The spots of each input, of buffers by their numbers, and of further tensors."""

    inputs: Sequence[Sequence[Spot]]
    buffers: Mapping[int, Sequence[Spot]]
    constants: Sequence[tuple[torch.Tensor, Spot]]


def _used(
    recording: Recording, extents: Sequence[tuple[int, int]], firsts: Mapping[int, int]
) -> _Used | None:
    """None where something is read that lies nowhere, or an input would be written to."""
    of_inputs: list[list[Spot]] = [[] for _ in extents]
    of_buffers: dict[int, list[Spot]] = defaultdict(list)
    constants: list[tuple[torch.Tensor, Spot]] = []
    for step, run in enumerate(recording.runs):
        for position, (buffer, begin) in enumerate(run.spans):
            if buffer is not None:
                of_buffers[buffer].append(Spot(step, position, begin))
            elif not begin or not position:
                return None
            elif (index := _input_at(begin, firsts, extents)) is not None:
                of_inputs[index].append(Spot(step, position, begin - extents[index][0]))
            else:
                constants.append((recording.others[begin], Spot(step, position, 0)))
    return _Used(of_inputs, of_buffers, constants)


def _extent(tensor: torch.Tensor) -> tuple[int, int]:
    """Where a tensor begins and ends."""
    begin = tensor.data_ptr()
    last = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    return begin, begin + (last + 1) * tensor.element_size()


def _input_at(
    pointer: int, firsts: Mapping[int, int], extents: Sequence[tuple[int, int]]
) -> int | None:
    """The input that begins at an address, or else the first that the address is in."""
    if pointer in firsts:
        return firsts[pointer]
    holders = (i for i, (begin, end) in enumerate(extents) if begin <= pointer < end)
    return next(holders, None)


def _places(
    forms: Sequence[Form], between: Mapping[int, Sequence[Spot]]
) -> tuple[Mapping[int, Sequence[Spot]], int]:
    """The spots by where buffers lie in memory that is used again, and how much there is of it."""
    places: dict[int, list[Spot]] = defaultdict(list)
    alive: list[tuple[int, int, int]] = []  # beginning, end, last step
    total = 0
    for buffer, spots in sorted(between.items(), key=lambda item: item[1][0].step):
        size = -(-4 * prod(forms[buffer][0]) // _LINE) * _LINE
        alive = sorted(block for block in alive if block[2] >= spots[0].step)
        start = 0
        for begin, end, _ in alive:
            if start + size <= begin:
                break
            start = max(start, end)
        alive.append((start, start + size, spots[-1].step))
        places[start] += spots
        total = max(total, start + size)
    return places, total


class _Sequence:
    """Recorded runs that are run again."""

    def __init__(
        self,
        runs: Sequence[Recorded],
        inputs: Sequence[torch.Tensor],
        data: int,
        links: _Links,
    ) -> None:
        self.runs = runs
        self.links = links
        self.data = data
        self._forms = [form_of(tensor) for tensor in inputs[:data]]
        self._same_data = [pair for pair in links.same if pair[1] < data]
        self._same_weights = [pair for pair in links.same if pair[0] >= data]
        self._threads = torch.get_num_threads()
        self._weights: Sequence[torch.Tensor] = inputs[data:]
        self._idle: list[_Frame] = []
        self._ends = [form for form, _ in links.ends]
        self._results = [
            (end, None if not begin and form == self._ends[end] else (*form, begin // 4))
            for end, begin, form in links.results
        ]

    def run(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...] | None:
        """The results; None for inputs of other forms than of those recorded."""
        if self._threads != torch.get_num_threads():
            return None
        data, weights = inputs[: self.data], inputs[self.data :]
        for tensor, (shape, strides) in zip(data, self._forms, strict=True):
            if tensor.shape != shape or tensor.stride() != strides:
                return None
            if tensor.dtype is not torch.float32:
                return None
        for one, other in self._same_data:
            if data[one].data_ptr() != data[other].data_ptr():
                return None
        if not all(map(is_, weights, self._weights)):
            if any(map(_differs, weights, self._weights)):
                return None
            if any(inputs[one] is not inputs[other] for one, other in self._same_weights):
                return None
            self._weights = weights
        try:
            frame = self._idle.pop()  # which no other thread uses meanwhile
        except IndexError:
            frame = _Frame(self)
        made = [torch.empty_strided(*end, dtype=torch.float32) for end in self._ends]
        frame.run(data, self._weights, made)
        self._idle.append(frame)
        return tuple(
            [
                made[place] if form is None else made[place].as_strided(*form)
                for place, form in self._results
            ]
        )


class _Frame:
    """The places of the tensors in one run at a time of a sequence.

    What lies between its steps is in the memory that the thread's primitives work with.
    """

    def __init__(self, sequence: _Sequence) -> None:
        links = sequence.links
        self._arguments = [run.step.arguments() for run in sequence.runs]
        self._steps = [
            (run.step.execute, arguments.address)
            for run, arguments in zip(sequence.runs, self._arguments, strict=True)
        ]
        self._weights: Sequence[torch.Tensor] = ()
        steps = [run.step for run in sequence.runs]
        pairs = zip(steps, self._arguments, strict=True)
        self._working = [arguments for step, arguments in pairs if not step.is_small]
        self._inputs = [self._puts(spots) for spots in links.inputs]
        self._ends = [self._puts(spots) for _, spots in links.ends]
        self._between = [(offset, self._puts(spots)) for offset, spots in links.places.items()]
        self._size = links.nbytes
        self._nbytes = links.nbytes + max(step.scratchpad for step in steps)
        self._pointer = 0
        for tensor, spot in links.constants:
            _put_at(tensor.data_ptr(), self._puts([spot]))

    def run(
        self,
        data: Sequence[torch.Tensor],
        weights: Sequence[torch.Tensor],
        made: Sequence[torch.Tensor],
    ) -> None:
        """Compute what the results lie in."""
        _place(data, self._inputs)
        if weights is not self._weights:
            _place(weights, self._inputs[len(data) :])
            self._weights = weights
        _place(made, self._ends)
        if self._nbytes:
            self._work_at(workspace(self._nbytes))
        for execute, address in self._steps:
            status = execute(address)
            if status:
                check("primitive_execute", status)

    def _work_at(self, pointer: int) -> None:
        """Say where the memory lies to work with: what is between the steps, and then the rest."""
        if pointer == self._pointer:
            return
        self._pointer = pointer
        for offset, puts in self._between:
            _put_at(pointer + offset, puts)
        for arguments in self._working:
            arguments.put_workspace(pointer + self._size)

    def _puts(self, spots: Iterable[Spot]) -> Sequence[_Put]:
        return [(self._arguments[spot.step].put, spot.position, spot.begin) for spot in spots]


def _place(tensors: Sequence[torch.Tensor], puts: Sequence[Sequence[_Put]]) -> None:
    """Say where tensors lie, each to all who use it."""
    for tensor, places in zip(tensors, puts, strict=False):
        _put_at(tensor.data_ptr(), places)


def _put_at(pointer: int, places: Sequence[_Put]) -> None:
    """Say where a tensor lies to all who use it."""
    for put, position, begin in places:
        put(position, pointer + begin)


def _differs(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether one weight cannot be put in the place of the other."""
    if isinstance(one, Packed) and isinstance(other, Packed):
        return one.order is not other.order
    is_alike = one.dtype is other.dtype and type(one) is type(other)
    return not is_alike or form_of(one) != form_of(other)
