"""Explain: which steps of a chain ran for a request, and who stopped it; for tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from .functions import is_awaitable, name_of
from .layer import Layer


@dataclass(frozen=True)
class Step:
    """One call of a chain."""

    name: str
    phase: str
    """"before" or "after" of a class; "" for a function."""
    outcome: str
    """What came of it, such as "went on", or "stopped: returned None"."""
    milliseconds: float
    """With what was awaited, and with `after`s that a stream began."""


@dataclass
class Explanation:
    """The steps that ran for a request, in the order in which they began."""

    steps: list[Step | None] = field(default_factory=list)

    def __str__(self) -> str:
        steps = [it for it in self.steps if it is not None]
        names = [f"{it.name}.{it.phase}" if it.phase else it.name for it in steps]
        width = max(map(len, names), default=0)
        return "\n".join(
            f"{name:<{width}}  {it.milliseconds:8.3f} ms  {it.outcome}"
            for name, it in zip(names, steps, strict=True)
        )

    def traced(self, members: Sequence[Any]) -> tuple[Any, ...]:
        """Return members that do the same, and note it here."""
        last = len(members) - 1
        return tuple(
            self._traced_class(it)
            if isinstance(it, Layer)
            else self._traced_function(it, is_last=i == last)
            for i, it in enumerate(members)
        )

    def _traced_function(self, member: Any, *, is_last: bool) -> Callable[..., Any]:
        def outcome(result: object) -> str:
            if is_last:
                return "ended the chain"
            return "went on" if result else f"stopped: returned {result!r}"

        def traced(res: Any, req: Any, data: Any) -> Any:
            return self._timed(name_of(member), "", outcome, member, res, req, data)

        traced.__wrapped__ = member  # type: ignore[attr-defined]
        return traced

    def _traced_class(self, layer: Layer) -> Layer:
        explanation = self

        class Traced:
            def __init__(self) -> None:
                self.inner = layer.cls()

            def before(self, request: Any, response: Any, *values: Any) -> Any:
                call = self.inner.before
                return explanation._of_class(
                    layer, "before", call, request, response, values
                )

            def after(self, request: Any, response: Any, *values: Any) -> Any:
                call = self.inner.after
                return explanation._of_class(
                    layer, "after", call, request, response, values
                )

        traced = Layer(Traced, layer.values, layer.values_of)
        traced.has_after = layer.has_after
        return traced

    def _of_class(
        self,
        layer: Layer,
        phase: str,
        call: Callable[..., Any],
        request: Any,
        response: Any,
        values: tuple[Any, ...],
    ) -> Any:
        def outcome(result: object) -> str:
            if result is request:
                return "went on"
            what = "the response" if result is response else repr(result)
            return f"stopped: returned {what}"

        return self._timed(layer.spec, phase, outcome, call, request, response, *values)

    def _timed(
        self,
        name: str,
        phase: str,
        outcome: Callable[[object], str],
        call: Callable[..., Any],
        *arguments: Any,
    ) -> Any:
        place = len(self.steps)
        self.steps.append(None)
        started = perf_counter()

        def note(text: str) -> None:
            spent = (perf_counter() - started) * 1000
            self.steps[place] = Step(name, phase, text, spent)

        async def awaited(awaitable: Any) -> Any:
            try:
                result = await awaitable
            except BaseException as error:
                note(f"raised {error!r}")
                raise
            note(outcome(result))
            return result

        try:
            result = call(*arguments)
        except BaseException as error:
            note(f"raised {error!r}")
            raise
        if is_awaitable(result):
            return awaited(result)
        note(outcome(result))
        return result
