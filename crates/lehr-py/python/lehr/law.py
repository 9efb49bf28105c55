"""Laws of your own, written in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _lehr, errors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Coefficient:
    """A number that a fit estimates.

    Attributes:
        lower, upper: its bounds.
        start: where the search begins.
        scale: ``"log"`` if the search moves its logarithm (for positive numbers of unknown size), else ``"linear"``.
        symbol, unit: as reports write them.
    """

    lower: float
    upper: float
    start: float
    scale: str = "linear"
    symbol: str = ""
    unit: str = ""


class Features:
    """What a law sees of a run: arrays with a value a point, and numbers.

    All of it comes from the schedule of every update, never from logged rows.
    """

    __slots__ = ("_known", "_native")

    def __init__(self, native: _lehr.NativeFeatures) -> None:
        self._native = native
        self._known: dict[str, Array] = {}

    def _array(self, name: str) -> Array:
        import numpy as np

        if name not in self._known:
            self._known[name] = np.frombuffer(self._native.array(name), dtype="<f8")
        return self._known[name]

    def __len__(self) -> int:
        return self._native.points()

    @property
    def update(self) -> Array:
        """Updates of the points, ascending."""
        return self._array("update")

    @property
    def lr(self) -> Array:
        """The rate of each point's update."""
        return self._array("lr")

    @property
    def forward_effect(self) -> Array:
        """S: the sum of all rates up to each point."""
        return self._array("forward_effect")

    @property
    def ln_forward_effect(self) -> Array:
        """ln S."""
        return self._array("ln_forward_effect")

    @property
    def momentum(self) -> Array:
        """M: the annealing momentum at each point; empty unless the law says ``momentum=True``."""
        return self._array("momentum")

    @property
    def n8(self) -> float:
        """N / 10⁸; 1 where N is unknown."""
        return self._native.number("n8")

    @property
    def tokens_per_step(self) -> float:
        """Tokens an update; NaN where unknown."""
        return self._native.number("tokens_per_step")

    @property
    def ln_batch(self) -> float:
        """ln of the tokens an update over those of most runs fitted; 0 where unknown."""
        return self._native.number("ln_batch")

    @property
    def warmup(self) -> float:
        """The warm-up ends at this update."""
        return self._native.number("warmup")

    @property
    def nodes(self) -> dict[str, Array]:
        """Intervals over which the rate is linear, for laws with memory.

        ``updates``: length; ``start``, ``end``, ``peak``: rate / 10⁻³ at its ends and the largest so far; ``forward_effect``:
        sum of the rates. ``side``: 1 for a side step, which begins where the last interval that is none ended, ends at a point,
        and is forgotten after it. ``before_point``: for each point, how many intervals lie before it; it stands at the end of the
        last of them.
        """
        names = ("updates", "start", "end", "forward_effect", "peak", "side", "before_point")
        return {name: self._array(f"node_{name}") for name in names}


Function = Callable[[Any, Features], Any]


class Law:
    """A law of your own: `fit`, `compare`, `validate` and `LossLaw` take it in place of a name.

    Examples:
        >>> import numpy as np
        >>> def loss(theta, run):
        ...     l0, a, alpha = theta
        ...     return l0 + a * run.forward_effect ** -alpha
        >>> law = Law("my-law", loss, {"l0": (0.1, 8.0, 2.0), "a": Coefficient(1e-3, 50, 0.6, "log"), "alpha": (0.05, 3.0, 0.5)})
        >>> law
        <lehr.Law my-law: l0, a, alpha>

    Args:
        name: lower-case letters, digits and hyphens, other than those of `laws`.
        predict: ``predict(theta, run)``: the loss at each point; ``theta`` is an array in the order of ``coefficients``, ``run``
            its `Features`.
        coefficients: by name, a `Coefficient` or ``(lower, upper, start)``.
        jacobian: ``jacobian(theta, run)``: its derivatives, an array of points × coefficients. Without one, central
            differences are used, which cost two predictions a coefficient.
        equation, source, limits: for reports.
        momentum: whether the law reads `Features.momentum`.
        final_only: whether it is about the last point of each run alone.
        needs_tokens: whether every run must state its tokens an update.
        knows_batch: whether runs of different batch belong into one fit.

    What a function raises ends the question and is raised from it. A law is kept until the process ends.
    """

    def __init__(
        self,
        name: str,
        predict: Function,
        coefficients: Mapping[str, Coefficient | tuple[float, float, float]],
        *,
        jacobian: Function | None = None,
        equation: str = "",
        source: str = "",
        limits: Sequence[str] = (),
        momentum: bool = False,
        final_only: bool = False,
        needs_tokens: bool = False,
        knows_batch: bool = False,
    ) -> None:
        for what, function in (("predict", predict), ("jacobian", jacobian)):
            if function is not None and not callable(function):
                raise errors.RequestError(
                    f"{what} is {type(function).__name__}", found=type(function).__name__, expected=f"a function {what}(theta, run)"
                )
        if not isinstance(name, str):
            raise errors.RequestError(f"name is {type(name).__name__}", found=type(name).__name__, expected="a text such as 'my-law'")
        if not isinstance(coefficients, Mapping):
            raise errors.RequestError(
                f"coefficients is {type(coefficients).__name__}",
                found=type(coefficients).__name__,
                expected="a dict such as {'l0': (0.1, 8.0, 2.0)}",
            )
        self.name, self.predict, self.jacobian = name, predict, jacobian
        for key in coefficients:
            if not isinstance(key, str) or not key or any(c in key for c in "=, ") or key != key.strip():
                raise errors.RequestError(
                    f"a coefficient is named {key!r}"[:200], found=repr(key)[:100], expected="a name without blank, comma and ="
                )
        self.coefficients = {key: _coefficient(key, value) for key, value in coefficients.items()}
        self._texts = (str(equation), str(source))
        self._limits = [limits] if isinstance(limits, str) else [str(limit) for limit in limits]
        self._momentum = bool(momentum)
        self._flags = (bool(final_only), bool(needs_tokens), bool(knows_batch))
        self._begin()

    def _begin(self) -> None:
        rows = [
            (key, c.symbol or key, c.unit, c.lower, c.upper, c.scale == "log", c.start) for key, c in self.coefficients.items()
        ]
        width = len(rows)
        name = self.name
        checked: list[bool] = []

        def call(what: str, function: Function, shape: Callable[[int], tuple[int, ...]]) -> Callable[[bytes, Any], bytes]:
            import numpy as np

            def run(theta: bytes, native: _lehr.NativeFeatures) -> bytes:
                points = native.points()
                given = function(np.frombuffer(theta, dtype="<f8"), Features(native))
                try:
                    values = np.asarray(given, dtype="<f8")
                except (TypeError, ValueError) as error:
                    raise errors.RequestError(
                        f"{what} of the law '{name}' gives no numbers: {error}", found=type(given).__name__, expected="numbers"
                    ) from error
                if what == "jacobian" and values.shape == shape(points) and not checked:
                    checked.append(True)
                    self._check_jacobian(np.frombuffer(theta, dtype="<f8"), Features(native), values)
                if values.shape != shape(points):
                    raise errors.RequestError(
                        f"{what} of the law '{name}' gives an array of shape {values.shape}",
                        found=str(values.shape),
                        expected=str(shape(points)),
                    )
                return values.tobytes()

            return run

        self._native = _lehr.NativeLaw(
            name,
            self._texts,
            self._limits,
            rows,
            self._momentum,
            self._flags,
            call("predict", self.predict, lambda points: (points,)),
            None if self.jacobian is None else call("jacobian", self.jacobian, lambda points: (points, width)),
        )

    def _check_jacobian(self, theta: Array, run: Features, given: Array) -> None:
        """Holds the derivatives against central differences, once: a wrong one leads the solver astray, and nothing else says so."""
        import numpy as np

        for k, name in enumerate(self.coefficients):
            step = 1e-5 * max(abs(float(theta[k])), 1e-3)
            ends = []
            for sign in (-1.0, 1.0):
                moved = theta.copy()
                moved[k] += sign * step
                ends.append(np.asarray(self.predict(moved, run), dtype="<f8"))
            found = (ends[1] - ends[0]) / (2.0 * step)
            if found.shape != given[:, k].shape or not (np.isfinite(found).all() and np.isfinite(given[:, k]).all()):
                continue
            size = float(np.max(np.abs(found), initial=0.0))
            noise = 1e-9 * float(np.max(np.abs(ends[0]), initial=0.0)) / step
            worst = int(np.argmax(np.abs(given[:, k] - found))) if len(found) else 0
            if len(found) and abs(given[worst, k] - found[worst]) > 0.02 * size + noise:
                raise errors.RequestError(
                    f"jacobian of the law '{self.name}' is wrong for {name!r}: it says {given[worst, k]:.6g} where differences of "
                    f"predict say {found[worst]:.6g} (update {run.update[worst]:.0f})",
                    found=f"{given[worst, k]:.6g}",
                    expected=f"{found[worst]:.6g}",
                    remedy="mend its column, or leave jacobian= out",
                )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_native": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def __copy__(self) -> Law:
        return self

    def __deepcopy__(self, memo: object) -> Law:
        return self

    def __repr__(self) -> str:
        return f"<lehr.Law {self.name}: {', '.join(self.coefficients)}>"


def _coefficient(name: Any, given: Any) -> Coefficient:
    numbers: tuple[Any, ...]
    if isinstance(given, Coefficient):
        numbers, scale = (given.lower, given.upper, given.start), given.scale
        symbol, unit = str(given.symbol), str(given.unit)
    else:
        scale, symbol, unit = "linear", "", ""
        try:
            numbers = tuple(given)
        except TypeError:
            numbers = ()
    try:
        lower, upper, start = (float(number) for number in numbers)
    except (TypeError, ValueError):
        raise errors.RequestError(
            f"the coefficient {name!r} is {given!r}"[:200],
            found=repr(given)[:100],
            expected="a lehr.Coefficient or three numbers (lower, upper, start)",
        ) from None
    if not isinstance(name, str) or scale not in ("linear", "log"):
        raise errors.RequestError(
            f"the coefficient {name!r} has the scale {scale!r}"[:200],
            found=repr(scale)[:100],
            expected="a text as name, and 'linear' or 'log' as scale",
        )
    return Coefficient(lower, upper, start, scale, symbol, unit)


def law_of(given: Any) -> Any:
    """What the extension takes for a law: a name, or the law behind an object."""
    if isinstance(given, Law):
        return given._native
    if isinstance(given, str):
        return given
    raise errors.RequestError(
        f"law is {type(given).__name__}", found=type(given).__name__, expected="the name of a law, or a lehr.Law"
    )
