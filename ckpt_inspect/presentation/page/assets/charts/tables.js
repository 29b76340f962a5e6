// The same values as a table, for whoever wants to read or copy them; made when it is opened.

const MOST_COLUMNS = 5;

const headCell = (text, scope) => make("th", { scope }, text);
const numberCell = (text) => make("td", { class: "number" }, text);

const evenPlaces = (count, most) => [...new Set(Array.from({ length: Math.min(most, count) }, (_, i) => (
  Math.round((i * (count - 1)) / Math.max(Math.min(most, count) - 1, 1)))))];

const valueTable = (chart, panel) => {
  const members = panel.members.filter((member) => isWanted(chart, member) && (!chosenIn(chart) || isChosen(chart, member)));
  const measure = chart.measures[panel.measure];
  const text = measure.isShare ? percentText : numberText;
  return chart.runs.map((run, r) => {
    const places = evenPlaces(run.x.length, MOST_COLUMNS);
    const title = `${panel.title}: ${measure.label}${chart.runs.length > 1 ? `, run ${run.name}` : ""}`;
    const heads = places.map((k) => numberHead(`${chart.xWord} ${stepText(run.x[k])}`));
    const rows = members.map((member) => make("tr", {}, headCell(chart.parameters[member], "row"),
      ...places.map((k) => numberCell(text(measure.values[r][member * run.x.length + k])))));
    return framedTable(title, [headCell(chart.isOfParameters ? "parameter" : "hyperparameter", "col"), ...heads], rows);
  });
};

const ridgeTable = (chart, panel, drawing) => chart.runs.map((run, r) => {
  const place = drawing.placeOf(r);
  const title = `${panel.title}: ${chart.distribution.label} at ${chart.xWord} ${stepText(chart.distribution.x[r][place])}${chart.runs.length > 1 ? `, run ${run.name}` : ""}`;
  const rows = drawing.rows().map(([label, members]) => {
    const mixture = drawing.mixture(r, place, members);
    return make("tr", {}, headCell(label, "row"), ...[0.05, 0.5, 0.95].map((level) => numberCell(mixture ? `about ${numberText(drawing.quantile(mixture, level))}` : "not known")));
  });
  return framedTable(title, [headCell("parameter", "col"), ...["5 %", "median", "95 %"].map(numberHead)], rows);
});

const numberHead = (text) => make("th", { scope: "col", class: "number" }, text);

const framedTable = (title, heads, rows) => make("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": title },
  make("table", {}, make("caption", {}, title), make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)));

const tableFold = (chart, drawings) => {
  const tables = make("div");
  const fold = make("details", { class: "chart-table" }, make("summary", {}, "Table of values"), tables);
  const fill = () => {
    if (!fold.open) return;
    const all = chart.panels.flatMap((panel, i) => (chart.distribution ? ridgeTable(chart, panel, drawings[i]) : valueTable(chart, panel)));
    tables.replaceChildren(...all);
  };
  fold.addEventListener("toggle", fill);
  return { fold, fill };
};
