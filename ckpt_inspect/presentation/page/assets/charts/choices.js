// What is chosen, in all charts together; it lives in the address with what the page's tables keep there.

const choices = { layer: null, steps: null, at: null, names: null };
const drawings = [];
const kept = window.pageChoices ?? { get: () => null, keep: () => {} };

const readChoices = () => {
  choices.names = kept.parameters ? new Set(kept.parameters) : null;
  choices.layer = kept.get("layer");
  const steps = (kept.get("steps") ?? "").split("-").map(Number);
  choices.steps = steps.length === 2 && steps[0] < steps[1] ? steps : null;
  const at = kept.get("at");
  choices.at = at === null || at === "" || Number.isNaN(Number(at)) ? null : Number(at);
};

const choose = (changes) => {
  Object.assign(choices, changes);
  if ("layer" in changes) kept.keep("layer", choices.layer ?? "");
  if ("steps" in changes) kept.keep("steps", choices.steps ? choices.steps.map((x) => +x.toPrecision(6)).join("-") : "");
  if ("at" in changes) kept.keep("at", choices.at === null ? "" : String(choices.at));
  drawings.forEach((drawing) => drawing.refresh());
};

const chooseLayer = (layer) => choose({ layer: choices.layer === layer ? null : layer });

const isWanted = (chart, member) => (
  !chart.isOfParameters || !choices.names || choices.names.has(chart.parameters[member])
);
const isChosen = (chart, member) => chart.isOfParameters && choices.layer !== null && chart.layers[member] === choices.layer;
const chosenIn = (chart) => chart.isOfParameters && choices.layer !== null && chart.layers.includes(choices.layer);
