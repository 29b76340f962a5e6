"""Charts of the page: chapters of results in, JSON that the page's own script draws out.

The libraries that were weighed, each as one minified script of the parts in use and gzipped; the page needs SVG that
follows its colours, and has a content security policy without exceptions:

- Observable Plot 0.6.17: 284 kB, 96 kB. It puts a style element into each figure, which the policy forbids; no zoom.
- Vega 6.4 and Vega-Lite 6.5: 803 kB, 277 kB. They make functions out of text, which the policy forbids.
- uPlot 1.6.32: 52 kB, 23 kB. A canvas, of which a screen reader, paper and a style sheet see nothing.
- D3's scales, shapes, axes and selections: 65 kB, 21 kB; ISC, last released in November 2026. Taken, as
  `scripts/build_page_library.py` bundles them.

What D3 doesn't have, which is the fan, the key, choosing and zooming, is in `assets/charts/`.
"""

from __future__ import annotations

from ckpt_inspect.presentation.page.charts.distribution import slider_checkpoints
from ckpt_inspect.presentation.page.charts.drawing import Drawing
from ckpt_inspect.presentation.page.charts.figures import drawing_of
from ckpt_inspect.presentation.page.charts.maker import ChartMaker
from ckpt_inspect.presentation.page.charts.rates import rates_drawing

__all__ = ["ChartMaker", "Drawing", "drawing_of", "rates_drawing", "slider_checkpoints"]
