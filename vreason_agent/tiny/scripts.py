"""Scripts of the toy world: for each kind of question a scene in which its answer is true.

Every script draws from one generator and one `Pace`; it returns sprites, the subject a question will ask about and
the events that decide the answer. Knows no wording, no picture and no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vreason_agent.tiny.scene import CELLS, COLORS, NUM_SLOTS, SHAPES, Segment, Sprite

MIN_EVENT = 1.25
DIRECTIONS = ("left", "right", "up", "down")
OUTCOMES = ("disappeared", "stayed", "moved", "changed color")
MAX_FLASHES = 6
MAX_COUNT = 4
WHOLE = (0.0, NUM_SLOTS + 1.0)
SECOND_PAIR = NUM_SLOTS / 2  # slot of the later of two temporal pairs


@dataclass(frozen=True)
class Pace:
    """Shortest and longest events in slots."""

    shortest: float = MIN_EVENT
    longest: float = 7.0

    def length(self, rng: np.random.Generator, longest: float | None = None) -> float:
        """Length of one event in slots, short ones being more likely than long ones."""
        top = max(min(longest or self.longest, self.longest), self.shortest)
        return float(self.shortest + (top - self.shortest) * rng.random() ** 1.5)


@dataclass
class Script:
    """What a script makes: sprites, the subject of the question, the true answer and the deciding events."""

    sprites: list[Sprite]
    subject: dict[str, str]
    answer: str
    events: list[tuple[str, float]]


class Stage:
    """Hands out free cells and unused looks, so that objects never share a cell and are told apart by name."""

    def __init__(self, rng: np.random.Generator, pace: Pace) -> None:
        self.rng, self.pace = rng, pace
        self.free = list(CELLS)
        self.looks: list[tuple[str, str]] = []

    def take_cell(self, cell: str | None = None) -> str:
        """Reserve a cell, a random free one by default."""
        cell = str(self.rng.choice(self.free)) if cell is None else cell
        self.free.remove(cell)
        return cell

    def take_look(
        self, *, color: str | None = None, shape: str | None = None, avoid: Sequence[str] = ()
    ) -> tuple[str, str]:
        """Reserve an unused (color, shape) that holds none of the words in `avoid`."""
        choices = [
            (c, s)
            for c in ([color] if color else COLORS)
            for s in ([shape] if shape else SHAPES)
            if (c, s) not in self.looks and c not in avoid and s not in avoid
        ]
        look = choices[int(self.rng.integers(len(choices)))]
        self.looks.append(look)
        return look

    def center(self, cell: str) -> tuple[float, float]:
        """A point near the middle of a cell."""
        row, column = divmod(CELLS.index(cell), 3)
        dx, dy = self.rng.uniform(-0.08, 0.08, 2)
        return column + 0.5 + float(dx), row + 0.5 + float(dy)

    def radius(self) -> float:
        """A radius that nearly fills a cell."""
        return float(self.rng.uniform(0.37, 0.45))

    def still(self, look: tuple[str, str], spans: Sequence[tuple[float, float]]) -> Sprite:
        """An object at rest in a free cell, visible in each of `spans`."""
        x, y = self.center(self.take_cell())
        return Sprite(look[1], self.radius(), tuple(Segment(a, b, look[0], x, y, x, y) for a, b in spans))

    def extra(self, chance: float, *, avoid: Sequence[str] = ()) -> list[Sprite]:
        """With the given chance one more object that no question asks about: always there, or for a while."""
        if self.rng.random() >= chance:
            return []
        look = self.take_look(avoid=avoid)
        return [self.still(look, [WHOLE] if self.rng.random() < 0.4 else [self.span()])]

    def span(self, longest: float | None = None) -> tuple[float, float]:
        """One event somewhere in the clip."""
        length = self.pace.length(self.rng, longest)
        start = float(self.rng.uniform(0.0, NUM_SLOTS - length))
        return start, start + length


def spread(rng: np.random.Generator, lengths: Sequence[float], gap: float, *, start: float, stop: float) -> list[float]:
    """Starts of events of the given lengths, in order, at least `gap` apart, placed at random in `[start, stop)`."""
    slack = stop - start - sum(lengths) - gap * (len(lengths) - 1)
    cuts = np.sort(rng.uniform(0.0, max(slack, 0.0), len(lengths)))
    before = np.concatenate([[0.0], np.cumsum(lengths)[:-1]]) + gap * np.arange(len(lengths))
    return [float(s) for s in start + before + cuts]


def look_script(stage: Stage, kind: str, answer: str, *, is_lasting: bool = False) -> Script:
    """An object shown for a while or all the time, alone in its shape (kind color) or in its color (kind shape)."""
    color, shape = stage.take_look(**{kind: answer})
    avoid = (shape,) if kind == "color" else (color,)
    span = WHOLE if is_lasting else stage.span()
    sprites = [stage.still((color, shape), [span]), *stage.extra(0.8, avoid=avoid), *stage.extra(0.3, avoid=avoid)]
    asked = shape if kind == "color" else color
    return Script(
        sprites,
        {"asked": asked},
        answer,
        [(f"{color} {shape} appears", span[0]), (f"{color} {shape} disappears", span[1])],
    )


def direction_script(stage: Stage, answer: str, *, is_lasting: bool = False) -> Script:
    """An object that rests, crosses the picture and rests again; a lasting one crosses it slowly, all the time."""
    rng, pace = stage.rng, stage.pace
    lane = int(rng.integers(3))
    cells = [CELLS[3 * lane + i] if answer in ("left", "right") else CELLS[3 * i + lane] for i in range(3)]
    if answer in ("left", "up"):
        cells.reverse()
    for cell in cells:
        stage.take_cell(cell)
    (color, shape), radius = stage.take_look(), stage.radius()
    (x, y), (to_x, to_y) = stage.center(cells[0]), stage.center(cells[2])
    rests, moving = [pace.length(rng, 3.0), pace.length(rng, 3.0)], pace.length(rng, 6.0)
    begin = spread(rng, [sum(rests) + moving], 0.0, start=0.0, stop=NUM_SLOTS)[0]
    leave = begin + rests[0]
    arrive, end = leave + moving, leave + moving + rests[1]
    if is_lasting:
        begin, leave = 0.0, float(rng.uniform(0.5, 2.0))
        arrive, end = float(rng.uniform(SECOND_PAIR + 2.0, NUM_SLOTS - 1.0)), WHOLE[1]
    sprite = Sprite(
        shape,
        radius,
        (
            Segment(begin, leave, color, x, y, x, y),
            Segment(leave, arrive, color, x, y, to_x, to_y),
            Segment(arrive, end, color, to_x, to_y, to_x, to_y),
        ),
    )
    events = [(f"{color} {shape} starts to move", leave), (f"{color} {shape} arrives", arrive)]
    return Script([sprite, *stage.extra(0.5)], {"asked": f"{color} {shape}"}, answer, events)


def order_script(stage: Stage, kind: str, answer: str, *, is_lasting: bool = False) -> Script:
    """Three or four objects that appear one after the other; `answer` is the name of the first or last.

    Lasting, the object that decides is told from the others by what is there at the start and halfway.
    """
    rng, pace = stage.rng, stage.pace
    color, shape = answer.split()
    num_objects = int(rng.integers(3, 5))
    looks = [stage.take_look(color=color, shape=shape)]
    looks += [stage.take_look() for _ in range(num_objects - 1)]
    if kind == "last":
        looks.reverse()
    onsets = spread(rng, [pace.shortest] * num_objects, 0.0, start=0.0, stop=NUM_SLOTS)
    spans = [(a, a + min(pace.length(rng), NUM_SLOTS - a)) for a in onsets]
    if is_lasting:
        halfway = [float(v) for v in np.sort(rng.uniform(2.0, SECOND_PAIR - 0.5, num_objects - 1))]
        onsets = [0.0, *halfway] if kind == "first" else [*([0.0] * (num_objects - 1)), halfway[0]]
        spans = [(a, WHOLE[1]) for a in onsets]
    sprites = [stage.still(look, [span]) for look, span in zip(looks, spans, strict=True)]
    return Script(sprites, {}, answer, [(f"{c} {s} appears", a) for (c, s), a in zip(looks, onsets, strict=True)])


def count_script(stage: Stage, answer: str, *, is_lasting: bool = False) -> Script:
    """As many objects as the answer says, each shown for a while, or all the time."""
    looks = [stage.take_look() for _ in range(int(answer))]
    spans = [WHOLE if is_lasting else stage.span() for _ in looks]
    sprites = [stage.still(look, [span]) for look, span in zip(looks, spans, strict=True)]
    return Script(sprites, {}, answer, [(f"{c} {s} appears", a) for (c, s), (a, _) in zip(looks, spans, strict=True)])


def blink_script(stage: Stage, answer: str) -> Script:
    """An object that flashes as often as the answer says."""
    rng, pace = stage.rng, stage.pace
    lengths = [pace.length(rng, 2.4) for _ in range(int(answer))]
    starts = spread(rng, lengths, pace.shortest, start=0.5, stop=NUM_SLOTS - 0.5)
    look = stage.take_look()
    sprite = stage.still(look, [(a, a + n) for a, n in zip(starts, lengths, strict=True)])
    events = [(f"{look[0]} {look[1]} flashes", a) for a in starts]
    return Script([sprite, *stage.extra(0.5)], {"asked": f"{look[0]} {look[1]}"}, answer, events)


def after_script(stage: Stage, answer: str, *, is_lasting: bool = False) -> Script:
    """One object runs into another, to which something happens for a while or, lasting, early and for good."""
    rng, pace = stage.rng, stage.pace
    lane, flip, across = int(rng.integers(3)), bool(rng.integers(2)), bool(rng.integers(2))
    lane_cells = [CELLS[3 * lane + i] if across else CELLS[3 * i + lane] for i in range(3)]
    if flip:
        lane_cells.reverse()
    for cell in lane_cells:
        stage.take_cell(cell)
    hitter, struck = stage.take_look(), stage.take_look(avoid=(stage.looks[0][0], stage.looks[0][1]))
    radius, struck_radius = stage.radius(), stage.radius()
    (ax, ay), (bx, by) = stage.center(lane_cells[0]), stage.center(lane_cells[2])
    side = lane + (1 if lane == 0 or (lane == 1 and rng.random() < 0.5) else -1)
    moving = pace.length(rng, 5.0)
    hit = float(rng.uniform(pace.shortest + moving, NUM_SLOTS - 8.0))
    away = pace.length(rng, 6.0) + pace.shortest if rng.random() < 0.7 else NUM_SLOTS + 1.0 - hit
    if is_lasting:
        hit, away = float(rng.uniform(2.0 + moving, SECOND_PAIR - 1.0)), NUM_SLOTS + 1.0
    reach = radius + struck_radius
    contact = (bx - np.sign(bx - ax) * reach, by) if across else (bx, by - np.sign(by - ay) * reach)
    cx, cy = float(contact[0]), float(contact[1])
    end = NUM_SLOTS + 1.0
    first = Sprite(
        hitter[1],
        radius,
        (
            Segment(0.0, hit - moving, hitter[0], ax, ay, ax, ay),
            Segment(hit - moving, hit, hitter[0], ax, ay, cx, cy),
            Segment(hit, end, hitter[0], cx, cy, cx, cy),
        ),
    )
    before = Segment(0.0, hit, struck[0], bx, by, bx, by)
    later = [Segment(hit + away, end, struck[0], bx, by, bx, by)] if hit + away < NUM_SLOTS - 0.01 else []
    stop = hit + away if later else end
    if answer == "stayed":
        rest = [Segment(hit, end, struck[0], bx, by, bx, by)]
    elif answer == "disappeared":
        rest = later
    elif answer == "changed color":
        color = str(rng.choice([c for c in COLORS if c not in (hitter[0], struck[0])]))
        rest = [Segment(hit, stop, color, bx, by, bx, by), *later]
    else:
        to_x, to_y = (bx, side + 0.5) if across else (side + 0.5, by)
        stage.take_cell(CELLS[3 * int(to_y) + int(to_x)])
        gone = hit + 0.4
        rest = [
            Segment(hit, gone, struck[0], bx, by, to_x, to_y),
            Segment(gone, stop, struck[0], to_x, to_y, to_x, to_y),
            *later,
        ]
        if later:
            rest = [rest[0], Segment(gone, gone + away, struck[0], to_x, to_y, to_x, to_y)]
            rest.append(Segment(gone + away, end, struck[0], bx, by, bx, by))
    second = Sprite(struck[1], struck_radius, (before, *rest))
    name, other = f"{struck[0]} {struck[1]}", f"{hitter[0]} {hitter[1]}"
    subject = {"asked": name, "hitter": other}
    return Script([first, second], subject, answer, [(f"{other} hits {name}", hit)])


def build_script(stage: Stage, kind: str, answer: str, *, is_lasting: bool = False) -> Script:
    """The script of a kind of question with the given true answer; lasting, two temporal pairs show it.

    Flashes do not last, so that questions about them are the same either way.
    """
    if kind == "blink":
        return blink_script(stage, answer)
    if kind in ("color", "shape"):
        return look_script(stage, kind, answer, is_lasting=is_lasting)
    if kind in ("first", "last"):
        return order_script(stage, kind, answer, is_lasting=is_lasting)
    script = {"direction": direction_script, "count": count_script, "after": after_script}[kind]
    return script(stage, answer, is_lasting=is_lasting)
