// A panel of lines over the run: of few parameters each, of many the fan of all and the outermost.

const MOST_LINES = 8;
const MOST_NAMED = 4;
const MOST_BOUNDED = 2;
const MANY = 150; // checkpoints: more have a thin line, so that what lies behind is seen
const FAN = [0.05, 0.25, 0.5, 0.75, 0.95];
const MARGIN = { top: 34, right: 14, bottom: 38, left: 62 };
const HEIGHT = 290;

class LinesPanel {
  constructor(chart, panel, holder) {
    Object.assign(this, { chart, panel });
    this.measure = chart.measures[panel.measure];
    this.isByRun = chart.runs.length > 1;
    this.text = this.measure.isShare ? percentText : numberText;
    this.box = make("div", { class: "panel" });
    this.box.append(make("h5", {}, panel.title));
    this.stage = make("div", { class: "stage", tabindex: 0, role: "group", "aria-label": `${chart.title} ${panel.title}`,
      "aria-describedby": "chart-keys" });
    this.svg = d3.create("svg").attr("role", "img").attr("height", HEIGHT).attr("aria-label", panel.title);
    this.stage.append(this.svg.node());
    this.tip = new Tip(this.stage);
    this.key = make("div", { class: "key" });
    this.box.append(this.stage, this.key);
    holder.append(this.box);
    this.focus = null;
    listen(this);
  }

  // --- which lines there are

  line(run, member) {
    const { x } = this.chart.runs[run];
    const part = (values) => values && values[run].subarray(member * x.length, (member + 1) * x.length);
    return { run, member, x, values: part(this.measure.values), low: part(this.measure.low), high: part(this.measure.high) };
  }

  linesOf(members) {
    return this.chart.runs.flatMap((_, run) => members.map((member) => this.line(run, member)));
  }

  choose() {
    const members = this.panel.members.filter((member) => isWanted(this.chart, member));
    const chosen = members.filter((member) => isChosen(this.chart, member));
    let strong = chosen;
    if (!chosenIn(this.chart)) strong = members.length <= this.mostLines() ? members : this.outermost(members);
    const isStrong = new Set(strong);
    this.members = members;
    const { colors } = this.chart;
    const alike = strong.map((member, i) => strong.slice(0, i).filter((other) => colors[other] === colors[member]).length);
    this.strong = this.linesOf(strong).map((line) => this.styled(line, colors[line.member], alike[strong.indexOf(line.member)]));
    this.others = this.linesOf(members.filter((member) => !isStrong.has(member)));
    this.isFanned = this.others.length > 0 && !chosenIn(this.chart) && !this.measure.isShare;
  }

  // Of several runs a layer's lines would hide each other sooner
  mostLines() { return this.isByRun ? 2 : MOST_LINES; }

  // Dashes tell apart who shares a colour in a panel, or has one that looks like it to the colour-blind
  styled(line, place, alike) {
    if (this.isByRun) return { ...line, color: color(line.run), dashes: DASHES[line.run % DASHES.length] };
    if (!this.chart.isOfParameters) return { ...line, color: "var(--ink)", dashes: DASHES[0] };
    return { ...line, color: color(place), dashes: DASHES[(Math.floor(place / 2) % 3 + 3 * alike) % DASHES.length] };
  }

  newest(line) {
    for (let k = line.x.length - 1; k >= 0; k -= 1) if (isShown(line.values[k], this.measure.isShare)) return line.values[k];
    return NaN;
  }

  // May be 0, which a logarithmic axis doesn't show: there the line has ended before
  last(line) {
    for (let k = line.x.length - 1; k >= 0; k -= 1) if (Number.isFinite(line.values[k])) return line.values[k];
    return NaN;
  }

  outermost(members) {
    if (this.isByRun && !this.measure.isShare) return [];
    const scale = this.measure.isShare ? (v) => v : Math.log10;
    const newest = members.map((member) => scale(Math.max(...this.chart.runs.map((_, run) => this.newest(this.line(run, member))))));
    const known = newest.filter(Number.isFinite);
    const middle = known.length && !this.measure.isShare ? medianOf(known) : 0;
    return members.map((member, i) => [Math.abs(newest[i] - middle), member])
      .filter(([distance]) => Number.isFinite(distance))
      .sort(([a], [b]) => b - a).slice(0, MOST_NAMED).map(([, member]) => member);
  }

  // Quantiles over the panel's parameters, checkpoint by checkpoint
  fan(run) {
    const lines = [...this.strong, ...this.others].filter((line) => line.run === run);
    const { x } = this.chart.runs[run];
    return Array.from(x, (_, k) => {
      const logs = Float64Array.from(lines.map((line) => line.values[k]).filter((value) => value > 0).map(Math.log10)).sort();
      return FAN.map((level) => (logs.length ? 10 ** quantileOf(logs, level) : NaN));
    });
  }

  // --- drawing

  draw() {
    this.choose();
    this.box.hidden = !this.members.length;
    this.box.classList.toggle("dimmed", chosenIn(this.chart) && !this.strong.length);
    this.tip.hide();
    const width = this.stage.clientWidth;
    if (this.box.hidden || !width) return;
    this.svg.attr("viewBox", `0 0 ${width} ${HEIGHT}`).attr("width", width).attr("aria-label", this.summary());
    this.svg.node().replaceChildren();
    this.setScales(width);
    drawAxes(this.svg, this.x, this.y, width, this.measure.isShare, this.chart.xLabel, this.measure.label);
    const inside = this.inside(width);
    this.drawUsual(inside, width);
    if (this.isFanned) this.chart.runs.forEach((_, run) => this.drawFan(inside, run));
    this.drawOthers(inside);
    this.strong.forEach((line) => this.drawLine(inside, line));
    inside.selectAll(".middle").each(function raise() { this.parentNode.append(this); });
    drawMarks(this.svg, this.chart.runs, this.x, this.isByRun);
    const written = new Map();
    this.strong.forEach((line) => this.drawBeyond(line, written));
    this.over = this.svg.append("g").attr("class", "over");
    this.brush = this.svg.append("rect").attr("class", "brush").attr("y", MARGIN.top).attr("height", HEIGHT - MARGIN.top - MARGIN.bottom);
    this.brush.attr("visibility", "hidden");
    this.writeKey();
  }

  inside(width) {
    const id = `clip-${LinesPanel.count = (LinesPanel.count ?? 0) + 1}`;
    this.svg.append("clipPath").attr("id", id).append("rect").attr("x", MARGIN.left - 3).attr("y", MARGIN.top - 3)
      .attr("width", Math.max(width - MARGIN.left - MARGIN.right + 6, 0)).attr("height", HEIGHT - MARGIN.top - MARGIN.bottom + 6);
    return this.svg.append("g").attr("clip-path", `url(#${id})`);
  }

  setScales(width) {
    const full = this.extent();
    const zoom = choices.steps ?? full;
    const [low, high] = [Math.max(zoom[0], full[0]), Math.min(zoom[1], full[1])];
    this.domain = low < high ? [low, high] : full;
    const pad = (this.domain[1] - this.domain[0]) * 0.01 || 0.5;
    this.x = d3.scaleLinear([this.domain[0] - pad, this.domain[1] + pad], [MARGIN.left, width - MARGIN.right]);
    const range = [HEIGHT - MARGIN.bottom, MARGIN.top];
    const top = () => shareTop([...this.strong, ...this.others].flatMap((line) => Array.from(line.values)));
    this.y = this.measure.isShare ? d3.scaleLinear([0, top()], range) : d3.scaleLog(this.limits(), range);
  }

  extent() {
    const all = this.chart.runs.flatMap((run) => (run.x.length ? [run.x[0], run.x[run.x.length - 1]] : []));
    return [Math.min(...all), Math.max(...all)];
  }

  limits() {
    const usual = this.chart.usual ? [this.chart.usual.low, this.chart.usual.high] : [];
    const lines = this.strong.length && chosenIn(this.chart) ? this.strong : [...this.strong, ...this.others];
    const isIn = (x) => x >= this.domain[0] && x <= this.domain[1];
    const series = lines.map((line) => Array.from(line.values).filter((value, k) => value > 0 && isIn(line.x[k])));
    const bounds = this.bounded().flatMap((line) => [...line.low, ...line.high]).filter((value) => value > 0);
    return robustRange(bounds.length ? [...series, bounds] : series, usual);
  }

  bounded() {
    return this.measure.low && this.strong.length <= MOST_BOUNDED * this.chart.runs.length ? this.strong : [];
  }

  path({ run, x }, valueAt) {
    const shape = d3.line((k) => this.x(x[k]), (k) => this.y(valueAt(k))).defined((k) => isShown(valueAt(k), this.measure.isShare));
    return this.shaped(run, shape);
  }

  pathOf(line) { return this.path(line, (k) => line.values[k]); }

  // Of the checkpoints' places; nothing is drawn across state that was not carried on
  shaped(run, shape) {
    return this.chart.runs[run].pieces.map((places) => shape(places) ?? "").join("");
  }

  drawUsual(inside, width) {
    const { usual } = this.chart;
    if (!usual) return;
    inside.append("rect").attr("class", "usual").attr("x", MARGIN.left).attr("width", Math.max(width - MARGIN.left - MARGIN.right, 0))
      .attr("y", this.y(usual.high)).attr("height", this.y(usual.low) - this.y(usual.high));
    inside.append("path").attr("class", "usual-line").attr("d", `M${MARGIN.left},${this.y(usual.line)}H${width - MARGIN.right}`);
  }

  drawFan(inside, run) {
    const fan = this.fan(run);
    const { x } = this.chart.runs[run];
    const stroke = this.isByRun ? color(run) : "var(--muted)";
    const band = (low, high) => this.shaped(run, d3.area().x((k) => this.x(x[k])).y0((k) => this.y(fan[k][low])).y1((k) => this.y(fan[k][high]))
      .defined((k) => fan[k][2] > 0));
    if (!this.isByRun) inside.append("path").attr("class", "band").attr("d", band(0, 4)).attr("fill", stroke).attr("opacity", 0.15);
    inside.append("path").attr("class", "band").attr("d", band(1, 3)).attr("fill", stroke).attr("opacity", 0.22);
    inside.append("path").attr("class", "line middle").attr("stroke", stroke).attr("stroke-dasharray", this.isByRun ? DASHES[run % 4] : "none")
      .attr("d", this.path({ run, x }, (k) => fan[k][2]));
  }

  drawOthers(inside) {
    if (!this.others.length) return;
    const faint = this.others.length > 40 ? 0.18 : 0.4;
    this.chart.runs.forEach((_, run) => {
      const stroke = this.isByRun ? color(run) : "var(--muted)";
      const path = this.others.filter((line) => line.run === run).map((line) => this.pathOf(line)).join("");
      inside.append("path").attr("class", "line others").attr("d", path).attr("stroke", stroke).attr("opacity", faint);
    });
  }

  drawLine(inside, line) {
    if (this.bounded().includes(line)) this.drawBounds(inside, line);
    inside.append("path").attr("class", `line strong${line.x.length > MANY ? " thin" : ""}`).attr("d", this.pathOf(line)).attr("stroke", line.color)
      .attr("stroke-dasharray", line.dashes);
    if (line.x.length > 12) return;
    const points = Array.from(line.values, (value, k) => (isShown(value, this.measure.isShare) ? `M${this.x(line.x[k])},${this.y(value)}h0` : "")).join("");
    inside.append("path").attr("class", "points").attr("d", points).attr("stroke", line.color);
  }

  // A side that is not known is open, as far as the axis goes
  drawBounds(inside, line) {
    const [low, high] = this.y.domain();
    const area = d3.area().x((k) => this.x(line.x[k])).defined((k) => line.values[k] > 0)
      .y0((k) => this.y(line.low[k] > 0 ? line.low[k] : low)).y1((k) => this.y(line.high[k] > 0 ? line.high[k] : high));
    inside.append("path").attr("class", "band bounds").attr("d", this.shaped(line.run, area)).attr("fill", line.color).attr("opacity", 0.15);
  }

  // Where a line leaves the axis: a triangle at the edge, with the furthest value, by which the key names the line; what
  // stands there already is in `written`
  drawBeyond(line, written) {
    const edge = this.beyond(line);
    if (!edge) return;
    const [x, y] = [this.x(line.x[edge.k]), edge.isHigh ? MARGIN.top : HEIGHT - MARGIN.bottom];
    const tall = edge.isHigh ? -7 : 7;
    this.svg.append("path").attr("class", "beyond").attr("d", `M${x - 5},${y}h10l-5,${tall}z`).attr("fill", line.color);
    const isLeft = x > (this.x.range()[0] + this.x.range()[1]) / 2;
    const place = `${edge.isHigh} ${isLeft}`;
    const above = written.get(place) ?? 0;
    written.set(place, above + 1);
    this.svg.append("text").attr("class", "halo").attr("x", x + (isLeft ? -8 : 8)).attr("y", y + (edge.isHigh ? 9 + 12 * above : -4 - 12 * above))
      .attr("text-anchor", isLeft ? "end" : "start").text(this.text(edge.value));
  }

  beyond(line) {
    if (this.measure.isShare) return null;
    const [low, high] = this.y.domain();
    let found = null;
    line.values.forEach((value, k) => {
      if (!(value > 0) || line.x[k] < this.domain[0] || line.x[k] > this.domain[1]) return;
      const off = value > high ? value / high : value < low ? low / value : 1;
      if (off > 1 && (!found || off > found.off)) found = { k, value, off, isHigh: value > high };
    });
    return found;
  }

  // --- words

  summary() {
    const known = [...this.strong, ...this.others].map((line) => [this.last(line), line]).filter(([value]) => Number.isFinite(value));
    known.sort(([a], [b]) => a - b);
    const [from, to] = this.extent();
    const start = `${this.panel.title}. ${this.measure.label} of ${this.members.length} over ${this.chart.xLabel} ${stepText(from)} to ${stepText(to)}.`;
    if (!known.length) return `${start} Not known.`;
    const ends = [known[0], known[known.length - 1]].map(([value, line]) => `${this.text(value)} (${this.chart.parameters[line.member]})`);
    return `${start} Newest values from ${ends[0]} to ${ends[1]}.`;
  }

  writeKey() {
    const lines = this.isByRun ? [] : [...this.strong].sort((a, b) => (this.last(b) || 0) - (this.last(a) || 0));
    const entries = lines.map((line) => this.keyEntry(line));
    if (this.isFanned && !this.isByRun) {
      entries.push(keyText(`median of all ${this.members.length}`, swatch("var(--muted)")), keyText("25–75 %", swatch("var(--muted)", "none", 0.4)),
        keyText("5–95 %", swatch("var(--muted)", "none", 0.15)));
    }
    if (this.bounded().length) entries.push(keyText(this.measure.boundsLabel, swatch(this.isByRun ? "var(--muted)" : this.strong[0]?.color ?? "var(--muted)", "none", 0.25)));
    if (this.isByRun && choices.layer === null && this.isFanned) entries.push(keyText(`thick: median of ${this.members.length}`, ""));
    this.key.replaceChildren(...entries);
  }

  keyEntry(line) {
    const edge = this.beyond(line);
    const words = `${this.text(this.last(line))}${edge ? ` ${edge.isHigh ? "↑" : "↓"} ${this.text(edge.value)} beyond the axis` : ""}`;
    const name = make("span", { class: "name" }, this.chart.label(line.member));
    const button = make("button", { type: "button", "aria-pressed": String(isChosen(this.chart, line.member)), title: this.chart.parameters[line.member] },
      swatch(line.color, line.dashes), name, make("span", { class: "value" }, words));
    if (!this.chart.isOfParameters) button.disabled = true;
    button.addEventListener("click", () => chooseLayer(this.chart.layers[line.member]));
    button.addEventListener("pointerenter", () => this.highlight(line, null));
    button.addEventListener("pointerleave", () => this.leave());
    return button;
  }

  // --- what the pointer and the keys do

  nearest(px, py) {
    let found = null;
    const at = this.x.invert(px);
    for (const line of [...this.strong, ...this.others]) {
      const k = nearestPlace(line, at, (value) => isShown(value, this.measure.isShare), this.domain);
      if (k < 0) continue;
      const next = line.x[k] < at ? k + 1 : k - 1;
      let y = this.y(line.values[k]);
      if (next >= 0 && next < line.x.length && isShown(line.values[next], this.measure.isShare)) {
        y += (this.y(line.values[next]) - y) * (at - line.x[k]) / (line.x[next] - line.x[k]);
      }
      const off = Math.abs(y - py) + Math.abs(this.x(line.x[k]) - px) / 8 + (line.color ? 0 : 4);
      if (!found || off < found.off) found = { line, k, off };
    }
    return found;
  }

  highlight(line, k) {
    this.focus = k === null ? null : { line, k };
    this.over.node().replaceChildren();
    const stroke = line.color ?? (this.isByRun ? color(line.run) : "var(--ink)");
    this.over.append("path").attr("class", "line highlight").attr("d", this.pathOf(line)).attr("stroke", stroke);
    if (k === null) return;
    const [low, high] = [MARGIN.top, HEIGHT - MARGIN.bottom];
    const [x, y] = [this.x(line.x[k]), Math.min(Math.max(this.y(line.values[k]), low), high)];
    this.over.append("path").attr("class", "rule").attr("d", `M${x},${low}V${high}`);
    this.over.append("circle").attr("cx", x).attr("cy", y).attr("r", 4.5).attr("fill", stroke);
    this.tip.show(x, y, this.words(line, k));
  }

  words(line, k) {
    const lines = [this.chart.parameters[line.member]];
    if (this.isByRun) lines.push(`run ${this.chart.runs[line.run].name}`);
    lines.push(`${this.chart.xWord} ${stepText(line.x[k])}`, `${this.measure.label}: ${this.text(line.values[k])}`);
    if (line.low && (line.low[k] > 0 || line.high[k] > 0)) lines.push(`${this.measure.boundsLabel}: ${this.text(line.low[k])} to ${this.text(line.high[k])}`);
    return lines;
  }

  leave() {
    this.focus = null;
    this.over?.node().replaceChildren();
    this.tip.hide();
  }

  // The next checkpoint of the line, or the line that is next by its newest value
  move(along, across) {
    const lines = [...this.strong, ...(this.strong.length ? [] : this.others)].sort((a, b) => this.newest(a) - this.newest(b));
    if (!lines.length) return;
    const now = this.focus ?? { line: lines[lines.length - 1], k: lines[0].x.length };
    const place = Math.min(Math.max(lines.findIndex((line) => line.member === now.line.member && line.run === now.line.run) + across, 0), lines.length - 1);
    const line = lines[place];
    let k = along ? now.k + along : Math.min(now.k, line.x.length - 1);
    const isThere = () => isShown(line.values[k], this.measure.isShare) && line.x[k] >= this.domain[0] && line.x[k] <= this.domain[1];
    while (k >= 0 && k < line.x.length && !isThere()) k += along || -1;
    if (k < 0 || k >= line.x.length) return;
    this.highlight(line, k);
    say(this.words(line, k).join(", "));
  }

  zoom(factor, centre = this.focus ? this.focus.line.x[this.focus.k] : (this.domain[0] + this.domain[1]) / 2) {
    const full = this.extent();
    const half = ((this.domain[1] - this.domain[0]) * factor) / 2;
    const steps = [Math.max(centre - half, full[0]), Math.min(centre + half, full[1])];
    const isAll = steps[0] <= full[0] && steps[1] >= full[1];
    choose({ steps: isAll ? null : steps });
    say(isAll ? "all steps" : `${this.chart.xWord} ${stepText(steps[0])} to ${stepText(steps[1])}`);
  }

  pan(direction) {
    const full = this.extent();
    const width = this.domain[1] - this.domain[0];
    const start = Math.min(Math.max(this.domain[0] + (direction * width) / 4, full[0]), full[1] - width);
    if (width < full[1] - full[0]) choose({ steps: [start, start + width] });
  }
}

const keyText = (text, picture) => make("span", {}, picture, text);

// The place of the known value nearest to `at` among those in sight; -1 if there is none close by
const nearestPlace = (line, at, isKnown, [low, high]) => {
  let [first, last] = [0, line.x.length - 1];
  while (first < last) {
    const middle = (first + last) >> 1;
    if (line.x[middle] < at) first = middle + 1; else last = middle;
  }
  let found = -1;
  for (let k = Math.max(first - 1, 0); k <= Math.min(first + 1, line.x.length - 1); k += 1) {
    if (!isKnown(line.values[k]) || line.x[k] < low || line.x[k] > high) continue;
    if (found < 0 || Math.abs(line.x[k] - at) < Math.abs(line.x[found] - at)) found = k;
  }
  return found;
};
