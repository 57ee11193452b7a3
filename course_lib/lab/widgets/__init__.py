"""What a learner can press. This is the only room of the lab that knows ipywidgets."""

from course_lib.lab.widgets.panel import Panel, control_panel

__all__ = ["Panel", "control_panel"]
