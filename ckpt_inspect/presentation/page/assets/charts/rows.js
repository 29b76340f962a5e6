// Panels of rows, a parameter or a branch of the model each: dots of one checkpoint, or ridges of distributions.

const MOST_ROWS = 24;
const FOOT = 36;

class RowsPanel {
  constructor(chart, panel, holder) {
    Object.assign(this, { chart, panel });
    this.measure = chart.measures[panel.measure];
    this.isShare = this.measure?.isShare ?? false;
    this.text = this.isShare ? percentText : numberText;
    this.box = make("div", { class: "panel" });
    this.box.append(make("h5", {}, panel.title));
    this.stage = make("div", { class: "stage", tabindex: 0, role: "group", "aria-label": `${chart.title} ${panel.title}`,
      "aria-describedby": "chart-keys" });
    this.svg = d3.create("svg").attr("role", "img").attr("aria-label", panel.title);
    this.stage.append(this.svg.node());
    this.tip = new Tip(this.stage);
    this.box.append(this.stage);
    holder.append(this.box);
    this.place = -1;
    this.stage.addEventListener("pointermove", (event) => this.point(event));
    this.stage.addEventListener("pointerleave", () => this.leave());
    this.stage.addEventListener("blur", () => this.leave());
    this.stage.addEventListener("click", (event) => { this.point(event); this.pick(); });
    this.stage.addEventListener("keydown", (event) => this.press(event));
  }

  // Few parameters have a row each, whatever rows the model's branches have
  rows() {
    const members = this.panel.members.filter((member) => isWanted(this.chart, member));
    const chosen = members.filter((member) => isChosen(this.chart, member));
    const own = chosenIn(this.chart) ? chosen : members;
    if (own.length <= MOST_ROWS) return own.map((member) => [this.chart.label(member), [member]]);
    const isWantedMember = new Set(members);
    return this.panel.rows.map(([label, all]) => [label, all.filter((member) => isWantedMember.has(member))])
      .filter(([, left]) => left.length);
  }

  // An empty frame with the rows' names, and a scale across
  frame(rows, limits, label) {
    const width = this.stage.clientWidth;
    this.rowHeight = this.heightOf(rows.length);
    const height = 8 + rows.length * this.rowHeight + FOOT;
    const most = Math.max(...rows.map(([text]) => text.length), 4);
    const left = Math.min(most * LETTER + 12, width * 0.42);
    const { svg } = this;
    svg.attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height);
    svg.node().replaceChildren();
    const range = [left + 4, width - 16];
    this.x = this.isShare ? d3.scaleLinear(limits, range) : d3.scaleLog(limits, range);
    const ticks = this.isShare ? shareTicks(limits[1]) : logTicks(...limits, Math.max(3, Math.floor((width - left) / 60)));
    rows.forEach(([text], i) => {
      const y = 8 + i * this.rowHeight;
      if (i % 2 === 0) svg.append("rect").attr("class", "stripe").attr("y", y).attr("width", width).attr("height", this.rowHeight);
      svg.append("text").attr("class", "row-name").attr("x", left - 4).attr("y", y + this.rowHeight / 2 + 4).attr("text-anchor", "end")
        .text(shortened(text, Math.max(Math.floor((left - 8) / LETTER), 4)));
    });
    const axis = svg.append("g").attr("class", "axis").attr("transform", `translate(0,${height - FOOT})`);
    axis.call(d3.axisBottom(this.x).tickValues(ticks).tickFormat(this.isShare ? shareTickText : tickTexts(ticks)).tickSizeOuter(0));
    axis.selectAll(".tick").append("path").attr("class", "grid").attr("d", `M0,0V${8 - height + FOOT}`);
    svg.append("text").attr("class", "label").attr("x", width - 14).attr("y", height - 3).attr("text-anchor", "end").text(label);
    return height;
  }

  // A value that lies beyond the axis is written at its edge
  writeBeyond(value, y) {
    const [low, high] = this.x.domain();
    if (this.isShare || !(value > 0) || (value >= low && value <= high)) return;
    const isHigh = value > high;
    this.svg.append("text").attr("class", "halo beyond-word").attr("x", this.x.range()[isHigh ? 1 : 0]).attr("y", y + 4)
      .attr("text-anchor", isHigh ? "end" : "start").text(isHigh ? `${this.text(value)} ▸` : `◂ ${this.text(value)}`);
  }

  point(event) {
    const [x, y] = d3.pointer(event, this.svg.node());
    const spots = this.spots ?? [];
    let found = -1;
    let least = Infinity;
    spots.forEach((spot, i) => {
      const off = Math.hypot(spot.x - x, (spot.y - y) * 4);
      if (off < least) [found, least] = [i, off];
    });
    if (found >= 0) this.show(found);
  }

  show(place) {
    this.place = place;
    const spot = this.spots[place];
    this.tip.show(spot.x, spot.y, spot.words);
    this.over?.node().replaceChildren();
    this.over?.append("circle").attr("cx", spot.x).attr("cy", spot.y).attr("r", 5).attr("class", "spot");
  }

  leave() {
    this.tip.hide();
    this.over?.node().replaceChildren();
  }

  pick() {
    const spot = this.spots?.[this.place];
    if (spot && this.chart.isOfParameters) chooseLayer(this.chart.layers[spot.member]);
  }

  press(event) {
    const along = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || !this.spots?.length) return;
    if (along) {
      this.show(Math.min(Math.max(this.place + along, 0), this.spots.length - 1));
      say(this.spots[this.place].words.join(", "));
    } else if (event.key === "Enter") this.pick();
    else return;
    event.preventDefault();
  }
}

class DotsPanel extends RowsPanel {
  heightOf() { return 20 + 6 * (this.chart.runs.length - 1); }

  value(run, member) { return this.measure.values[run][member]; }

  draw() {
    const rows = this.rows();
    this.box.hidden = !rows.length;
    this.spots = [];
    this.place = -1;
    if (this.box.hidden || !this.stage.clientWidth) return;
    const { runs, usual } = this.chart;
    const all = rows.flatMap(([, members]) => members);
    const known = all.flatMap((member) => runs.map((_, run) => this.value(run, member)).filter((value) => value > 0));
    const limits = this.isShare ? [0, shareTop(known)] : robustRange(known.map((value) => [value]), usual ? [usual.low, usual.high] : []);
    const height = this.frame(rows, limits, this.measure.label);
    if (usual) {
      this.svg.insert("rect", ".axis").attr("class", "usual").attr("x", this.x(usual.low)).attr("width", this.x(usual.high) - this.x(usual.low))
        .attr("y", 8).attr("height", height - FOOT - 8);
      this.svg.insert("path", ".axis").attr("class", "usual-line").attr("d", `M${this.x(usual.line)},8V${height - FOOT}`);
    }
    rows.forEach(([, members], i) => runs.forEach((_, run) => {
      const y = 8 + (i + (run + 1) / (runs.length + 1)) * this.rowHeight;
      members.forEach((member) => this.drawDot(run, member, y, members.length === 1));
    }));
    this.over = this.svg.append("g").attr("class", "over");
    this.svg.attr("aria-label", this.summary(known, all.length));
  }

  drawDot(run, member, y, isAlone) {
    const value = this.value(run, member);
    if (!isShown(value, this.isShare)) return;
    const [low, high] = this.x.domain();
    const words = [this.chart.parameters[member], `${this.measure.label}: ${this.text(value)}`];
    if (this.chart.runs.length > 1) words.splice(1, 0, `run ${this.chart.runs[run].name}`);
    if (this.measure.low) {
      const ends = [this.measure.low, this.measure.high].map((bound) => bound[run][member]);
      words.push(`${this.measure.boundsLabel}: ${this.text(ends[0])} to ${this.text(ends[1])}`);
      const [from, to] = ends.map((end) => this.x(Math.min(Math.max(end, low), high)));
      if (isAlone && ends.every((end) => end > 0)) {
        this.svg.append("path").attr("class", "range").attr("d", `M${from},${y}H${to}`).attr("stroke", color(run));
      }
    }
    const x = this.x(Math.min(Math.max(value, low), high));
    this.spots.push({ x, y, member, words });
    if (value >= low && value <= high) this.svg.append("circle").attr("class", "dot").attr("cx", x).attr("cy", y).attr("r", 4).attr("fill", color(run));
    else this.writeBeyond(value, y);
  }

  summary(known, count) {
    const start = `${this.panel.title}. ${this.measure.label} of ${count}.`;
    if (!known.length) return `${start} Not known.`;
    return `${start} From ${this.text(Math.min(...known))} to ${this.text(Math.max(...known))}.`;
  }
}

class RidgesPanel extends RowsPanel {
  heightOf(rows) { return Math.min(Math.max(240 / rows, 28), 70); }

  // The distribution of some parameters' elements together: share by cell; null if they have none
  mixture(run, place, members) {
    const { cells, densities, peaks, weights } = this.chart.distribution;
    const count = this.chart.parameters.length;
    const sums = new Float64Array(cells);
    let total = 0;
    for (const member of members) {
      const at = place * count + member;
      const weight = weights[run][at];
      if (!(weight > 0)) continue;
      total += weight;
      const scale = (weight * peaks[run][at]) / 255;
      for (let cell = 0; cell < cells; cell += 1) sums[cell] += scale * densities[run][at * cells + cell];
    }
    if (!total) return null;
    const whole = sums.reduce((sum, share) => sum + share, 0);
    return sums.map((share) => share / whole);
  }

  edge(cell) { return 10 ** (this.chart.distribution.start + cell * this.chart.distribution.width); }

  quantile(mixture, level) {
    let sum = 0;
    for (let cell = 0; cell < mixture.length; cell += 1) {
      if (sum + mixture[cell] >= level && mixture[cell] > 0) return this.edge(cell + (level - sum) / mixture[cell]);
      sum += mixture[cell];
    }
    return this.edge(mixture.length);
  }

  // The checkpoint of a run that is nearest to the chosen one; the last if none is chosen
  placeOf(run) {
    const x = this.chart.distribution.x[run];
    if (choices.at === null) return x.length - 1;
    return x.reduce((best, each, i) => (Math.abs(each - choices.at) < Math.abs(x[best] - choices.at) ? i : best), 0);
  }

  draw() {
    const rows = this.rows();
    this.box.hidden = !rows.length;
    this.spots = [];
    if (this.box.hidden || !this.stage.clientWidth) return;
    const { runs } = this.chart;
    // Of each row what is drawn: one run's first checkpoint and the chosen one, or the chosen ones of several runs
    const curves = rows.map(([, members]) => runs.flatMap((_, run) => {
      const now = { run, isFirst: false, mixture: this.mixture(run, this.placeOf(run), members) };
      const first = { run, isFirst: true, mixture: this.mixture(run, 0, members) };
      return runs.length > 1 || this.placeOf(run) === 0 ? [now] : [first, now];
    }).filter((curve) => curve.mixture));
    this.frame(rows, this.limits(rows), this.chart.distribution.label);
    rows.forEach(([label, members], i) => this.drawRow(label, members, curves[i], 8 + (i + 1) * this.rowHeight - 3));
    this.over = this.svg.append("g").attr("class", "over");
    const medians = this.spots.map((spot) => spot.value);
    const range = medians.length ? `Medians from about ${this.text(Math.min(...medians))} to ${this.text(Math.max(...medians))}.` : "Not known.";
    this.svg.attr("aria-label", `${this.panel.title}. Distributions of ${this.chart.distribution.label}. ${range}`);
  }

  // The same at every checkpoint, so that moving through them moves the ridges
  limits(rows) {
    const key = rows.map(([, members]) => members).join(";");
    if (this.limitsOf !== key) {
      this.limitsOf = key;
      const ends = rows.map(([, members]) => this.chart.runs.flatMap((_, run) => {
        const { x } = this.chart.distribution;
        const places = [...new Set([0, 0.25, 0.5, 0.75, 1].map((part) => Math.round(part * (x[run].length - 1))))];
        return places.map((place) => (place < 0 ? null : this.mixture(run, place, members))).filter(Boolean)
          .flatMap((mixture) => [0.005, 0.5, 0.995].map((level) => this.quantile(mixture, level)));
      }));
      this.range = robustRange(ends);
    }
    return this.range;
  }

  drawRow(label, members, curves, ground) {
    const peak = Math.max(...curves.flatMap((curve) => Array.from(curve.mixture)), 0) || 1;
    const cells = Array.from({ length: this.chart.distribution.cells }, (_, cell) => cell);
    const [low, high] = this.x.domain();
    const inside = cells.filter((cell) => this.edge(cell) <= high && this.edge(cell + 1) >= low);
    for (const { run, isFirst, mixture } of curves) {
      const x = (cell) => Math.min(Math.max(this.x(this.edge(cell + 0.5)), this.x.range()[0]), this.x.range()[1]);
      const y = (cell) => ground - (mixture[cell] / peak) * (this.rowHeight - 5);
      const stroke = isFirst ? "var(--muted)" : color(run);
      if (!isFirst) {
        this.svg.append("path").attr("class", "ridge").attr("fill", stroke)
          .attr("d", d3.area(x, ground, y).curve(d3.curveMonotoneX)(inside));
      }
      this.svg.append("path").attr("class", isFirst ? "ridge-line first" : "ridge-line").attr("stroke", stroke)
        .attr("d", d3.line(x, y).curve(d3.curveMonotoneX)(inside));
      const median = this.quantile(mixture, 0.5);
      const px = this.x(Math.min(Math.max(median, low), high));
      if (isFirst) continue;
      this.svg.append("path").attr("class", "median").attr("stroke", stroke).attr("d", `M${px},${ground}v-${this.rowHeight / 3}`);
      this.writeBeyond(median, ground - this.rowHeight / 2);
      this.spots.push({ x: px, y: ground - this.rowHeight / 2, member: members[0], value: median, words: this.words(label, run, mixture) });
    }
  }

  words(label, run, mixture) {
    const [low, median, high] = [0.05, 0.5, 0.95].map((level) => this.text(this.quantile(mixture, level)));
    const at = stepText(this.chart.distribution.x[run][this.placeOf(run)]);
    const words = [label, `${this.chart.xWord} ${at}`, `median of ${this.chart.distribution.label}: about ${median}`, `5–95 %: ${low} to ${high}`];
    if (this.chart.runs.length > 1) words.splice(1, 0, `run ${this.chart.runs[run].name}`);
    return words;
  }
}
