"""A report as one HTML page: frames, findings and figures in, text out; nothing here opens or writes a file."""

from __future__ import annotations

from ckpt_inspect.presentation.page.contents import Chart, Contents, MissingFigure, PageFigure, PageRun, Picture
from ckpt_inspect.presentation.page.document import page_html, without_reloading

__all__ = ["Chart", "Contents", "MissingFigure", "PageFigure", "PageRun", "Picture", "page_html", "without_reloading"]
