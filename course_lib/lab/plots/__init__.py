"""Pictures for lessons: measurements, states over time, and the shape of a system.

Every picture is drawn with a palette that colour-blind readers can tell apart, names its units,
and carries an alt text that lists what it shows. `guess=` puts the learner's prediction beside
the measurement. This package is the only room that knows matplotlib, and it imports it late.
"""

from course_lib.lab.plots.bars import bars
from course_lib.lab.plots.canvas import Picture
from course_lib.lab.plots.dashboard import dashboard
from course_lib.lab.plots.diagrams import flow, onion
from course_lib.lab.plots.grids import heat, panels
from course_lib.lab.plots.lines import lines
from course_lib.lab.plots.live import LiveFigure
from course_lib.lab.plots.spans import Span, Step, timeline, waterfall
from course_lib.lab.plots.strips import strips
from course_lib.lab.plots.traffic import traffic

__all__ = [
    "LiveFigure",
    "Picture",
    "Span",
    "Step",
    "bars",
    "dashboard",
    "flow",
    "heat",
    "lines",
    "onion",
    "panels",
    "strips",
    "timeline",
    "traffic",
    "waterfall",
]
