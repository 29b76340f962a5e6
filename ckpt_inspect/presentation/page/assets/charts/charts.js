// Every chart of the page: its data, its panels, and the controls that all of them share.

// The places of a run's checkpoints, line of training by line of training
const piecesOf = ({ x, breaks }) => {
  const pieces = [[]];
  x.forEach((at, k) => {
    if (breaks.includes(at)) pieces.push([]);
    pieces[pieces.length - 1].push(k);
  });
  return pieces;
};

const prepared = (data) => {
  const start = sharedStart(data.parameters);
  const label = (member) => data.parameters[member].slice(start) || data.parameters[member];
  const runs = data.runs.map((run) => ({ ...run, pieces: piecesOf(run) }));
  return { ...data, runs, xWord: data.xLabel.split(" ")[0], label };
};

// Values are decoded when they are first drawn
const decode = (chart) => {
  for (const measure of chart.measures) {
    for (const name of ["values", "low", "high"]) measure[name] = measure[name]?.map(floatsOf);
  }
  const { distribution } = chart;
  if (!distribution) return;
  distribution.densities = distribution.densities.map(decoded);
  for (const name of ["peaks", "weights"]) distribution[name] = distribution[name].map(floatsOf);
};

const FORMS = { lines: LinesPanel, dots: DotsPanel, ridges: RidgesPanel };

class ChartDrawing {
  constructor(node, data) {
    this.node = node;
    this.chart = prepared(data);
    node.querySelector(".alternative")?.remove();
    const { chart } = this;
    node.append(...this.notes());
    if (chart.distribution) node.append(this.slider());
    const grid = make("div", { class: `panels${chart.panels.length > 4 ? " many" : ""}` });
    node.append(grid);
    this.panels = chart.panels.map((panel) => new FORMS[chart.form](chart, panel, grid));
    this.table = tableFold(chart, this.panels);
    if (chart.panels.length) node.append(this.table.fold);
    // Drawn when it comes into sight, and again when what is chosen or its width changes
    this.isSeen = false;
    this.isCurrent = false;
    new IntersectionObserver(([entry]) => { this.isSeen = entry.isIntersecting; this.update(); }, { rootMargin: "300px" }).observe(node);
    new ResizeObserver(() => { if (node.clientWidth !== this.width) this.refresh(); }).observe(node);
  }

  notes() {
    const { chart } = this;
    const notes = [];
    if (chart.runs.length > 1) {
      const runs = chart.runs.map((run, i) => keyText(run.name, swatch(color(i), chart.form === "lines" ? DASHES[i % 4] : "none")));
      notes.push(make("div", { class: "key runs" }, ...runs));
    }
    const words = [...new Set(chart.runs.flatMap((run) => run.marks.map(([, word]) => word)))];
    if (words.length && chart.form === "lines") {
      const marks = words.map((word, i) => keyText(word, markSwatch(MARK_DASHES[i % 3])));
      const further = chart.runs.reduce((sum, run) => sum + run.furtherMarks, 0);
      if (further) marks.push(keyText(`${stepText(further)} more are not marked`, ""));
      notes.push(make("div", { class: "key" }, ...marks));
    }
    if (chart.usual) {
      const { band_text: band, line_text: line } = chart.usual;
      notes.push(make("div", { class: "key" }, keyText(band, swatch("var(--good)", "none", 0.25)), keyText(line, swatch("var(--good)", "1.5 2"))));
    }
    if (chart.doubts.length) notes.push(make("p", { class: "doubts" }, make("b", {}, "Uncertain values: "), chart.doubts.join("; ")));
    return notes;
  }

  slider() {
    const { x } = this.chart.distribution;
    // Every checkpoint of any run
    this.stops = [...new Set(x.flat())].sort((a, b) => a - b);
    const input = make("input", { type: "range", min: 0, max: Math.max(this.stops.length - 1, 0), step: 1 });
    const output = make("output");
    this.showSlider = () => {
      const wanted = choices.at ?? this.stops[this.stops.length - 1];
      const place = this.stops.reduce((best, each, i) => (Math.abs(each - wanted) < Math.abs(this.stops[best] - wanted) ? i : best), 0);
      input.value = String(place);
      output.textContent = stepText(this.stops[place] ?? 0);
      input.setAttribute("aria-valuetext", `${this.chart.xWord} ${output.textContent}`);
    };
    input.addEventListener("input", () => choose({ at: this.stops[Number(input.value)] }));
    this.showSlider();
    const note = this.chart.runs.length > 1 ? "" : `dashed: ${this.chart.xWord} ${stepText(this.stops[0] ?? 0)}, the first`;
    const box = make("div", { class: "slider" }, make("label", {}, `${this.chart.xWord} `, input), output, make("span", {}, note));
    box.hidden = this.stops.length < 2;
    return box;
  }

  refresh() {
    this.isCurrent = false;
    this.update();
  }

  update() {
    if (this.isCurrent || !this.isSeen) return;
    this.draw();
  }

  draw() {
    if (!this.isDecoded) decode(this.chart);
    this.isDecoded = true;
    this.isCurrent = true;
    this.width = this.node.clientWidth;
    this.showSlider?.();
    this.panels.forEach((panel) => panel.draw());
    this.table.fill();
  }
}

const markSwatch = (dashes) => {
  const svg = d3.create("svg").attr("class", "swatch").attr("viewBox", "0 0 18 12").attr("aria-hidden", "true");
  svg.append("path").attr("class", "mark").attr("d", "M9,0V12").attr("stroke", "var(--ink)").attr("stroke-dasharray", dashes);
  return svg.node();
};

// What is chosen, and how to undo it
class ChoicesBar {
  constructor() {
    this.text = make("span");
    this.layer = make("button", { type: "button" }, "All layers");
    this.steps = make("button", { type: "button" }, "All steps");
    this.layer.addEventListener("click", () => choose({ layer: null }));
    this.steps.addEventListener("click", () => choose({ steps: null }));
    this.box = make("div", { class: "chosen", role: "group", "aria-label": "What the figures show" }, this.text, this.layer, this.steps);
  }

  refresh() {
    const parts = [];
    if (choices.layer !== null) parts.push(`layer ${choices.layer}`);
    if (choices.steps) parts.push(choices.steps.map((x) => stepText(x)).join(" to "));
    this.text.textContent = parts.length ? `Shown: ${parts.join(", ")}` : "";
    this.layer.hidden = choices.layer === null;
    this.steps.hidden = choices.steps === null;
    this.box.hidden = !parts.length;
  }
}

const HINT = "Point at a line for its values, click it to see its layer alone, drag across to zoom; Escape brings all back.";
const KEYS_HINT = "Arrow keys move from point to point and from line to line. Enter chooses the layer. Plus and minus zoom, Shift with "
  + "the left or right arrow moves along, 0 shows all steps. Escape brings everything back.";

const startCharts = () => {
  const data = JSON.parse(document.getElementById("chart-data").textContent);
  const nodes = [...document.querySelectorAll(".chart")].filter((node) => data[node.id] && FORMS[node.dataset.kind]);
  if (!nodes.length) return;
  readChoices();
  const bar = new ChoicesBar();
  drawings.push(bar);
  nodes.forEach((node) => drawings.push(new ChartDrawing(node, data[node.id])));
  const section = nodes[0].closest("section") ?? nodes[0].parentElement;
  const hint = make("div", { class: "note chart-hint" }, make("p", {}, HINT),
    make("details", {}, make("summary", {}, "With the keyboard"), make("p", { id: "chart-keys" }, KEYS_HINT)));
  section.querySelector("h2").after(hint, bar.box);
  document.body.append(status);
  bar.refresh();
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && (choices.layer !== null || choices.steps)) choose({ layer: null, steps: null });
  });
  // The table's filter, by the parameters that it leaves; null: all
  document.addEventListener("parameters-filtered", (event) => {
    if (!event.detail && !choices.names) return;
    choose({ names: event.detail && new Set(event.detail) });
  });
  addEventListener("beforeprint", () => drawings.forEach((drawing) => drawing.draw?.()));
};

startCharts();
