"""A workflow: every series with what is usual, what changed on purpose, and its incidents; and one series in full."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response

from driftbell.alerts.message import told_title
from driftbell.alerts.record import Incident
from driftbell.collectors.call import Marker
from driftbell.collectors.store import Store
from driftbell.collectors.workflows import Workflow
from driftbell.detectors.band import Reading
from driftbell.service import oncall
from driftbell.service.api_input import BadRequestError
from driftbell.service.config import Config
from driftbell.service.page import asked as given
from driftbell.service.page.chart import Drawing, Mark, Shade, draw
from driftbell.service.page.data import EVERY, Loaded, Material, Measures, Slice, load
from driftbell.service.page.incidents import row_of
from driftbell.service.page.learning import learning_of
from driftbell.service.page.panels import FAMILIES, Panel, panel_of, present, shows
from driftbell.service.page.render import page, url
from driftbell.service.page.window import RANGES, Window, asked_for

MOST_MARKS = 40
LISTED = 8
LONGEST_TABLE = 400
YOUNG = 2 * 86_400.0
"""A workflow that is not older is shown by minutes at first, which are there sooner than hours."""
SPLITS = ("segment", "risk_tier", "model", "prompt_version")
MOST_PARTS = 12
Choices = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Shown:
    """One panel with its chart and the newest reading."""

    panel: Panel
    drawing: Drawing
    last: Reading | None
    tone: str
    href: str


@dataclass(frozen=True, slots=True)
class Scene:
    """What both pages share: the workflow, the span, the slice, and what happened in it."""

    workflow: Workflow
    window: Window
    part: Slice
    loaded: Loaded
    material: Material
    marks: tuple[Mark, ...]
    choices: Choices

    def link(self, path: str = "/workflow", **changed: object) -> str:
        """The address of this view with something changed."""
        return url(path, name=self.workflow.name, **{**self.window.asked, **self.part.asked, **changed})

    @property
    def incidents(self) -> list[Incident]:
        """Those that were open in the window, the newest first."""
        since = self.window.since
        return [i for i in reversed(self.material.incidents) if (i.ended_at or i.resolved_at or since) >= since]

    def shades(self, panel: Panel) -> list[Shade]:
        """Incidents in which the series of ``panel`` moved."""
        return [
            Shade(
                incident.started_at,
                incident.ended_at or incident.resolved_at or float(self.window.until),
                told_title(incident),
                f"/incidents/{incident.id}",
                incident.severity,
            )
            for incident in self.incidents
            if any(shows(panel, member.finding) for member in incident.members.values())
        ]


class WorkflowPage:
    """``/workflow`` and ``/workflow/series``."""

    def __init__(self, store: Store, config: Config, clock: Callable[[], float]) -> None:
        self._store, self._config, self._clock = store, config, clock

    def show(self, request: Request) -> Response:
        """Every series of a workflow, or of a slice of it."""
        scene = self._scene(request)
        groups: dict[str, list[Shown]] = {}
        for panel in present(scene.material.measures):
            groups.setdefault(FAMILIES[panel.family], []).append(_shown(scene, panel, scene.material))
        learning = learning_of(self._store, self._config.detectors, scene.workflow, self._clock())
        rows = [row_of(incident, self._clock()) for incident in scene.incidents[:LISTED]]
        return page(
            request,
            "workflow.html",
            scene=scene,
            groups=groups,
            incidents=rows,
            ranges=RANGES,
            learning=learning,
            splits=SPLITS,
        )

    def series(self, request: Request) -> Response:
        """One series with its numbers as a table, and the same for each part of the workflow."""
        panel = panel_of(given.text(request, "series") or "")
        if panel is None:
            raise BadRequestError("there is no series of that name; open it from its workflow")
        scene = self._scene(request, Measures(panel))
        shown = _shown(scene, panel, scene.material)
        dimensions = [name for name in SPLITS if len(scene.choices[name]) > 1]
        split = given.choice(request, "by", ("", *SPLITS)) or next(iter(dimensions), SPLITS[0])
        return page(
            request,
            "series.html",
            scene=scene,
            shown=shown,
            panel=panel,
            readings=list(reversed(scene.material.readings(panel)[1]))[:LONGEST_TABLE],
            parts=self._parts(scene, panel, split),
            split=split,
            dimensions=dimensions,
            splits=SPLITS,
            ranges=RANGES,
        )

    def _parts(self, scene: Scene, panel: Panel, split: str) -> list[tuple[str, Shown]]:
        found = []
        for value in scene.choices[split][:MOST_PARTS] if len(scene.choices[split]) > 1 else ():
            part = replace(scene.part, **{split: value})
            found.append((value, _shown(scene, panel, scene.loaded.of(part), **{split: value})))
        return found

    def _scene(self, request: Request, wanted: Measures = EVERY) -> Scene:
        name = request.query_params.get("name") or ""
        workflow = next((w for w in self._store.workflows() if w.name == name), None)
        if workflow is None:
            raise oncall.NotFoundError("there is no workflow of that name")
        part = Slice(*(given.text(request, split) for split in SPLITS))
        young = self._clock() - workflow.first_ts < YOUNG
        window = asked_for(request, self._clock(), "24h" if young else "7d")
        loaded = load(self._store, name, window, self._clock() - self._config.retention.minutes, wanted)
        window = loaded.window
        markers = self._store.markers(name, window.since, window.until)[-MOST_MARKS:]
        return Scene(
            workflow, window, part, loaded, loaded.of(part), tuple(map(mark, markers)), choices(self._store, name)
        )


def mark(marker: Marker) -> Mark:
    """A marker as it stands in a chart."""
    words = (marker.kind.replace("_", " "), marker.value, marker.text)
    return Mark(marker.ts, " ".join(word for word in words if word))


def choices(store: Store, workflow: str) -> Choices:
    """The values that each dimension of a workflow has had."""
    found = store.slices(workflow)
    return {name: sorted({v for v in (getattr(s, name) for s in found) if v is not None}) for name in SPLITS}


def _shown(scene: Scene, panel: Panel, held: Material, **changed: object) -> Shown:
    width, readings = held.readings(panel)
    shades = scene.shades(panel)
    open_now = [shade.tone for shade in shades if shade.until >= scene.window.until]
    return Shown(
        panel,
        draw(held.window, width, readings, panel.unit, shades, scene.marks),
        last_of(readings),
        "page" if "page" in open_now else next(iter(open_now), ""),
        scene.link("/workflow/series", series=panel.key, **changed),
    )


def last_of(readings: Sequence[Reading]) -> Reading | None:
    """The newest reading that holds a value."""
    return next((reading for reading in reversed(readings) if reading.value is not None), None)
