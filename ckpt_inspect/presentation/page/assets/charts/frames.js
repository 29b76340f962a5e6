// Axes, marks, and what pointer and keys do in a panel over the run.

const drawAxes = (svg, x, y, width, isShare, xLabel, yLabel) => {
  const ticks = isShare ? shareTicks(y.domain()[1]) : logTicks(...y.domain(), 6);
  const bottom = svg.append("g").attr("class", "axis").attr("transform", `translate(0,${HEIGHT - MARGIN.bottom})`);
  bottom.call(d3.axisBottom(x).tickValues(x.ticks(Math.max(2, Math.floor(width / 110))).filter(Number.isInteger)).tickFormat(stepText).tickSizeOuter(0));
  const left = svg.append("g").attr("class", "axis").attr("transform", `translate(${MARGIN.left},0)`);
  left.call(d3.axisLeft(y).tickValues(ticks).tickFormat(isShare ? shareTickText : tickTexts(ticks)).tickSizeOuter(0));
  left.selectAll(".tick").append("path").attr("class", "grid").attr("d", `M0,0H${width - MARGIN.left - MARGIN.right}`);
  svg.append("text").attr("class", "label").attr("x", width - MARGIN.right).attr("y", HEIGHT - 4).attr("text-anchor", "end")
    .text(xLabel.length * LETTER < width ? xLabel : xLabel.split(" (")[0]);
  svg.append("text").attr("class", "label").attr("x", 0).attr("y", 9).text(yLabel);
};

// Where something happened to a run: dashes tell the reasons apart, and the first have a word above them
const MARK_DASHES = ["1 2", "6 2 1 2", "4 3"];
const drawMarks = (svg, runs, x, isByRun) => {
  const words = [...new Set(runs.flatMap((run) => run.marks.map(([, word]) => word)))];
  let [labels, end] = [0, -Infinity];
  runs.forEach((run, place) => run.marks.forEach(([at, word]) => {
    const px = x(at);
    if (px < x.range()[0] || px > x.range()[1]) return;
    svg.append("path").attr("class", "mark").attr("d", `M${px},${MARGIN.top}V${HEIGHT - MARGIN.bottom}`)
      .attr("stroke", isByRun ? color(place) : "var(--ink)").attr("stroke-dasharray", MARK_DASHES[words.indexOf(word) % 3]);
    // Above the panel, as far as there is room
    const left = Math.min(px - 4, x.range()[1] - word.length * LETTER);
    if (labels >= 3 || left < end) return;
    labels += 1;
    end = left + (word.length + 2) * LETTER;
    svg.append("text").attr("class", "mark-word").attr("x", left).attr("y", MARGIN.top - 4).text(word);
  }));
};

const KEYS = {
  ArrowLeft: (panel, event) => (event.shiftKey ? panel.pan(-1) : panel.move(-1, 0)),
  ArrowRight: (panel, event) => (event.shiftKey ? panel.pan(1) : panel.move(1, 0)),
  ArrowUp: (panel) => panel.move(0, 1),
  ArrowDown: (panel) => panel.move(0, -1),
  "+": (panel) => panel.zoom(0.5),
  "=": (panel) => panel.zoom(0.5),
  "-": (panel) => panel.zoom(2),
  0: () => choose({ steps: null }),
  Enter: (panel) => panel.focus && panel.chart.isOfParameters && chooseLayer(panel.chart.layers[panel.focus.line.member]),
};

const listen = (panel) => {
  const { stage } = panel;
  let start = null;
  let shown = null;
  const place = (event) => d3.pointer(event, panel.svg.node());
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    start = place(event)[0];
    shown = panel.focus?.line.member ?? null;
    stage.setPointerCapture(event.pointerId);
    stage.focus({ preventScroll: true });
  });
  stage.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (start !== null && Math.abs(x - start) > 5) {
      panel.leave();
      panel.brush.attr("visibility", "visible").attr("x", Math.min(x, start)).attr("width", Math.abs(x - start));
      return;
    }
    const found = panel.nearest(x, y);
    if (found) panel.highlight(found.line, found.k);
  });
  stage.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const [x, y] = place(event);
    const from = start;
    start = null;
    panel.brush.attr("visibility", "hidden");
    if (Math.abs(x - from) > 5) {
      const steps = [from, x].map((px) => panel.x.invert(px)).sort((a, b) => a - b);
      choose({ steps: [Math.max(steps[0], panel.domain[0]), Math.min(steps[1], panel.domain[1])] });
      return;
    }
    const found = panel.nearest(x, y);
    if (!found || !panel.chart.isOfParameters) return;
    // A finger can't hover: its first touch shows the values, its second chooses
    if (event.pointerType === "touch" && shown !== found.line.member) panel.highlight(found.line, found.k);
    else chooseLayer(panel.chart.layers[found.line.member]);
  });
  stage.addEventListener("pointercancel", () => { start = null; panel.brush.attr("visibility", "hidden"); });
  stage.addEventListener("pointerleave", () => panel.leave());
  stage.addEventListener("blur", () => panel.leave());
  stage.addEventListener("dblclick", () => choose({ steps: null }));
  stage.addEventListener("keydown", (event) => {
    const act = KEYS[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    act(panel, event);
    event.preventDefault();
  });
};
