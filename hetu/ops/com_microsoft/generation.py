"""Generation of text: a decoder that runs in a loop and chooses the next token each time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

from hetu.errors import ModelError, UnsupportedError
from hetu.ops.kinds import Any, Body, Context, Tensor
from hetu.ops.registry import op
from hetu.types import TensorType

DOMAIN = "com.microsoft"
_LOWEST = torch.finfo(torch.float32).min

Rule = Callable[[Tensor, Tensor], Tensor]
"""What becomes of the scores (rows, words) of the tokens behind sequences (rows, length)."""


@dataclass(frozen=True, slots=True)
class _Decoder:
    """A decoder as GPT-2 has it: tokens, positions, a mask and a cache per layer.

    `first` runs the prompt, `body` one token after the other.
    """

    first: Body
    body: Body

    def start(self, ids: Tensor, mask: Tensor, like: torch.device) -> "_Run":
        """The prompt, (rows, length), read."""
        places = (mask.cumsum(-1) - mask).to(torch.int32)
        caches = [_empty(kind, len(ids), like) for kind in self.first.input_types[3:]]
        if len(caches) + 1 != len(self.first.output_types):
            raise UnsupportedError("a decoder whose caches are shared between steps")
        logits, *caches = self.first(ids, places, mask, *caches)
        return _Run(self.body, ids, mask, logits[:, -1].float(), tuple(caches))


def _empty(kind: Any, rows: int, device: torch.device) -> Tensor:
    """An empty cache (2, rows, heads, 0, size) of the type that the decoder wants."""
    shape = kind.shape if isinstance(kind, TensorType) else None
    if shape is None or len(shape) != 5 or kind.dtype is None or kind.dtype.torch is None:
        raise ModelError("the decoder's caches are not tensors (2, rows, heads, length, size)")
    heads, size = shape[2], shape[4]
    if not isinstance(heads, int) or not isinstance(size, int):
        raise ModelError("the decoder does not state its caches' numbers of heads and their size")
    return torch.zeros(2, rows, heads, 0, size, dtype=kind.dtype.torch, device=device)


@dataclass(frozen=True, slots=True)
class _Run:
    """What is written so far, and the scores of what may come next."""

    body: Body
    ids: Tensor
    mask: Tensor
    logits: Tensor
    caches: tuple[Tensor, ...]

    def take(self, tokens: Tensor, rows: Tensor | None = None) -> "_Run":
        """One more token each, behind the sequences that `rows` says."""
        run = self if rows is None else self._chosen(rows)
        ids = torch.cat((run.ids, tokens[:, None].to(run.ids.dtype)), -1)
        return replace(run, ids=ids)

    def _chosen(self, rows: Tensor) -> "_Run":
        caches = tuple(cache[:, rows] for cache in self.caches)
        return replace(self, ids=self.ids[rows], mask=self.mask[rows], caches=caches)

    def read(self) -> "_Run":
        """The last token read."""
        places = self.mask.sum(-1, keepdim=True).to(torch.int32)
        mask = torch.cat((self.mask, torch.ones_like(self.mask[:, :1])), -1)
        logits, *caches = self.body(self.ids[:, -1:], places, mask, *self.caches)
        return replace(self, mask=mask, logits=logits[:, -1].float(), caches=tuple(caches))


@dataclass(frozen=True, slots=True)
class _Search:
    """Which tokens may follow, and when a sequence ends."""

    pad: int
    eos: int
    longest: int
    rules: tuple[Rule, ...]

    def scores(self, scores: Tensor, ids: Tensor) -> Tensor:
        """The scores by all rules."""
        for rule in self.rules:
            scores = rule(scores, ids)
        return scores

    def padded(self, ids: Tensor) -> Tensor:
        """Sequences of full length."""
        full = ids.new_full((*ids.shape[:-1], self.longest), self.pad)
        full[..., : ids.shape[-1]] = ids[..., : self.longest]
        return full


def _rules(
    repetition_penalty: float, ngram_size: int, vocab_mask: Tensor | None,
    prefix_vocab_mask: Tensor | None, min_length: int, eos: int, start: int,
) -> tuple[Rule, ...]:  # fmt: skip
    """The rules in ONNX Runtime's order; `start` is the length of the prompt."""
    rules: list[Rule] = []
    if repetition_penalty != 1:
        rules.append(lambda scores, ids: _penalized(scores, ids, repetition_penalty))
    if ngram_size > 0:
        rules.append(lambda scores, ids: _unrepeated(scores, ids, ngram_size))
    if vocab_mask is not None:
        rules.append(lambda scores, ids: scores.masked_fill(vocab_mask == 0, _LOWEST))
    if prefix_vocab_mask is not None:

        def at_first(scores: Tensor, ids: Tensor) -> Tensor:
            if ids.shape[1] > start:
                return scores
            beams = len(scores) // len(prefix_vocab_mask)
            masks = prefix_vocab_mask.repeat_interleave(beams, 0)
            return scores.masked_fill(masks == 0, _LOWEST)

        rules.append(at_first)
    if min_length > 0:

        def not_yet(scores: Tensor, ids: Tensor) -> Tensor:
            words = torch.arange(scores.shape[1], device=scores.device)
            is_early = ids.shape[1] < min_length
            return scores.masked_fill((words == eos) & is_early, _LOWEST)

        rules.append(not_yet)
    return tuple(rules)


def _penalized(scores: Tensor, ids: Tensor, penalty: float) -> Tensor:
    """Words that are there already are less likely."""
    found = scores.gather(1, ids.long())
    found = torch.where(found < 0, found * penalty, found / penalty)
    return scores.scatter(1, ids.long(), found)


def _unrepeated(scores: Tensor, ids: Tensor, size: int) -> Tensor:
    """No n-gram comes twice."""
    if ids.shape[1] < size:
        return scores
    grams = ids.unfold(1, size, 1)
    end = ids[:, None, ids.shape[1] - size + 1 :]
    is_repeated = (grams[..., :-1] == end).all(-1).int()
    counts = torch.zeros_like(scores, dtype=torch.int32)
    counts = counts.scatter_add(1, grams[..., -1].long(), is_repeated)
    return scores.masked_fill(counts > 0, _LOWEST)


def _check(model_type: int, encoder: Body | None) -> None:
    if model_type or encoder is not None:
        raise UnsupportedError("generation with an encoder")


def _mask(ids: Tensor, mask: Tensor | None, pad: int) -> Tensor:
    return (ids != pad).to(ids.dtype) if mask is None else mask


def _in_a_row(run: _Run, search: _Search, choose: Callable[[Tensor], Tensor]) -> Tensor:
    """One sequence per prompt, each token by `choose`; the one that ends it is padding already."""
    is_over = torch.zeros(len(run.ids), dtype=torch.bool, device=run.ids.device)
    while run.ids.shape[1] < search.longest:
        tokens = choose(search.scores(run.logits, run.ids))
        is_over = is_over | (tokens == search.eos)
        run = run.take(tokens.masked_fill(is_over, search.pad))
        if bool(is_over.all()) or run.ids.shape[1] == search.longest:
            break
        run = run.read()
    return search.padded(run.ids)


@op("GreedySearch", domain=DOMAIN)
def greedy_search(
    input_ids: Any, max_length: int, min_length: int = 0, repetition_penalty: float = 1.0,
    vocab_mask: Any | None = None, prefix_vocab_mask: Any | None = None,
    attention_mask: Any | None = None, *,
    decoder: Body, decoder_start_token_id: int = -1, encoder: Body | None = None,
    eos_token_id: int, init_decoder: Body | None = None, model_type: int = 0,
    no_repeat_ngram_size: int = 0, pad_token_id: int, vocab_size: int = -1,
) -> Any:  # fmt: skip
    _check(model_type, encoder)
    rules = _rules(
        repetition_penalty, no_repeat_ngram_size, vocab_mask, prefix_vocab_mask, min_length,
        eos_token_id, input_ids.shape[1],
    )  # fmt: skip
    search = _Search(pad_token_id, eos_token_id, max_length, rules)
    mask = _mask(input_ids, attention_mask, pad_token_id)
    run = _Decoder(init_decoder or decoder, decoder).start(input_ids, mask, input_ids.device)
    return _in_a_row(run, search, lambda scores: scores.argmax(-1))


@op("Sampling", domain=DOMAIN)
def sampling(
    input_ids: Any, max_length: int, min_length: int = 0, repetition_penalty: float = 1.0,
    vocab_mask: Any | None = None, prefix_vocab_mask: Any | None = None,
    attention_mask: Any | None = None, presence_mask: Any | None = None,
    seed: int | None = None, *,
    custom: bool = False, decoder: Body, decoder_start_token_id: int = -1,
    encoder: Body | None = None, eos_token_id: int, filter_value: float = -1e20,
    init_decoder: Body | None = None, min_tokens_to_keep: int = 0, model_type: int = 0,
    no_repeat_ngram_size: int = 0, pad_token_id: int, presence_penalty: float = 0.0,
    temperature: float = 1.0, top_p: float = 0.0, vocab_size: int = -1, ctx: Context,
) -> tuple[Any, Tensor | None]:  # fmt: skip
    _check(model_type, encoder)
    rules = _rules(
        repetition_penalty, no_repeat_ngram_size, vocab_mask, prefix_vocab_mask, min_length,
        eos_token_id, input_ids.shape[1],
    )  # fmt: skip
    likely: list[Tensor] = []

    def choose(scores: Tensor) -> Tensor:
        scores = scores / temperature
        if presence_mask is not None:
            scores = scores - presence_mask * presence_penalty
        scores = _nucleus(scores, top_p, filter_value, min_tokens_to_keep)
        likely[:] = [scores]
        return scores.softmax(-1).multinomial(1, generator=ctx.generator_of(seed))[:, 0]

    search = _Search(pad_token_id, eos_token_id, max_length, rules)
    mask = _mask(input_ids, attention_mask, pad_token_id)
    run = _Decoder(init_decoder or decoder, decoder).start(input_ids, mask, input_ids.device)
    return _in_a_row(run, search, choose), likely[0] if likely else None


def _nucleus(scores: Tensor, top_p: float, filter_value: float, kept: int) -> Tensor:
    """The likeliest words whose shares add up to `top_p` (Holtzman et al. 2020)."""
    if not 0 < top_p < 1:
        return scores
    ordered, places = scores.sort(-1)
    is_out = ordered.softmax(-1).cumsum(-1) <= 1 - top_p
    is_out[:, scores.shape[1] - max(kept, 1) :] = False
    return scores.masked_fill(is_out.scatter(1, places, is_out), filter_value)


@op("BeamSearch", domain=DOMAIN)
def beam_search(
    input_ids: Any, max_length: int, min_length: int | None, num_beams: int,
    num_return_sequences: int, length_penalty: float = 1.0, repetition_penalty: float = 1.0,
    vocab_mask: Any | None = None, prefix_vocab_mask: Any | None = None,
    attention_mask: Any | None = None, decoder_input_ids: Any | None = None,
    logits_processor: int = 0, *,
    decoder: Body, decoder_start_token_id: int = -1, early_stopping: bool = False,
    encoder: Body | None = None, eos_token_id: int, init_decoder: Body | None = None,
    model_type: int = 0, no_repeat_ngram_size: int = 0, pad_token_id: int, vocab_size: int = -1,
) -> tuple[Any, Any | None, Any | None]:  # fmt: skip
    _check(model_type, encoder)
    rules = _rules(
        repetition_penalty, no_repeat_ngram_size, vocab_mask, prefix_vocab_mask, min_length or 0,
        eos_token_id, input_ids.shape[1],
    )  # fmt: skip
    search = _Search(pad_token_id, eos_token_id, max_length, rules)
    ids = input_ids.repeat_interleave(num_beams, 0)
    mask = _mask(input_ids, attention_mask, pad_token_id).repeat_interleave(num_beams, 0)
    run = _Decoder(init_decoder or decoder, decoder).start(ids, mask, ids.device)
    beams = _Beams(search, len(input_ids), num_beams, length_penalty, early_stopping)
    return beams.search(run, num_return_sequences)


@dataclass(slots=True)
class _Ended:
    """The best sequences of one prompt that have ended, with their scores, the best first."""

    most: int
    penalty: float
    is_early: bool
    found: list[tuple[float, list[int]]] = field(default_factory=list)
    is_over: bool = False

    def add(self, ids: Sequence[int], total: float) -> None:
        """One more, if it is among the best."""
        self.found.append((total / len(ids) ** self.penalty, list(ids)))
        self.found.sort(key=lambda pair: -pair[0])
        del self.found[self.most :]

    def check(self, best: float, length: int) -> None:
        """Whether what goes on with the total score `best` can still win."""
        if len(self.found) == self.most:
            worst = self.found[-1][0]
            self.is_over = self.is_early or worst >= best / length**self.penalty


@dataclass(frozen=True, slots=True)
class _Beams:
    """A search that goes on with the best `width` sequences of each prompt."""

    rules: _Search
    batch: int
    width: int
    penalty: float
    is_early: bool

    def search(self, run: _Run, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """The best `count` sequences of each prompt, their scores, the scores of all steps."""
        ended = [_Ended(self.width, self.penalty, self.is_early) for _ in range(self.batch)]
        totals = run.logits.new_full((self.batch, self.width), -1e9)
        totals[:, 0] = 0
        steps, left = [], self.rules.longest - run.ids.shape[1]
        while run.ids.shape[1] < self.rules.longest:
            scores = self.rules.scores(run.logits.log_softmax(-1), run.ids)
            scores = scores + totals.view(-1, 1)
            steps.append(scores)
            tokens, rows, totals = self._step(run, scores, ended)
            run = run.take(tokens, rows)
            if all(part.is_over for part in ended) or run.ids.shape[1] == self.rules.longest:
                break
            run = run.read()
        self._finish(run, totals, ended)
        shown = run.logits.new_zeros(max(left, 0), *run.logits.shape)
        if steps:
            shown[: len(steps)] = torch.stack(steps)
        return *self._best(run, ended, count), shown.unflatten(1, (self.batch, self.width))

    def _step(
        self, run: _Run, scores: Tensor, ended: Sequence[_Ended]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The next tokens, the sequences that they follow, and the scores of both together.

        `scores` are those of a sequence and each word behind it.
        """
        words, joined = scores.shape[1], scores.view(self.batch, -1)
        best, places = joined.topk(min(2 * self.width, joined.shape[1]), -1)
        chosen: list[tuple[int, int, float]] = []
        for i, part in enumerate(ended):
            goes_on = []
            if not part.is_over:
                pairs = [divmod(place, words) for place in places[i].tolist()]
                candidates = [
                    (word, i * self.width + beam, total)
                    for (beam, word), total in zip(pairs, best[i].tolist(), strict=True)
                ]
                goes_on = self._goes_on(run, candidates, part)
                part.check(candidates[0][2], run.ids.shape[1])
            missing = self.width - len(goes_on)
            chosen += goes_on + [(self.rules.pad, 0, 0.0)] * missing
        tokens, rows, new = (
            torch.tensor(column, device=scores.device) for column in zip(*chosen, strict=True)
        )
        return tokens, rows, new.to(scores.dtype).view(self.batch, -1)

    def _goes_on(
        self, run: _Run, candidates: Sequence[tuple[int, int, float]], ended: _Ended
    ) -> list[tuple[int, int, float]]:
        """The candidates that go on; those that end among the best are kept with the ended."""
        goes_on: list[tuple[int, int, float]] = []
        for rank, (word, row, total) in enumerate(candidates):
            if word != self.rules.eos:
                goes_on.append((word, row, total))
            elif rank < self.width:
                ended.add(run.ids[row].tolist(), total)
            if len(goes_on) == self.width:
                break
        return goes_on

    def _finish(self, run: _Run, totals: Tensor, ended: Sequence[_Ended]) -> None:
        """What has not ended counts as it is."""
        for i, part in enumerate(ended):
            if not part.is_over:
                rows = run.ids[i * self.width : (i + 1) * self.width].tolist()
                for ids, total in zip(rows, totals[i].tolist(), strict=True):
                    part.add(ids, total)

    def _best(self, run: _Run, ended: Sequence[_Ended], count: int) -> tuple[Tensor, Tensor]:
        """The best sequences of each prompt, padded, and their scores."""
        best = [part.found[:count] for part in ended]
        ids = [
            self.rules.padded(torch.tensor(found, dtype=run.ids.dtype, device=run.ids.device))
            for part in best
            for _, found in part
        ]
        scores = [[score for score, _ in part] for part in best]
        return (
            torch.stack(ids).view(self.batch, count, -1),
            torch.tensor(scores, dtype=torch.float32, device=run.ids.device),
        )
