// Numbers: how they are packed, written, and ranged.

const decoded = (base64) => {
  const letters = atob(base64);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i += 1) bytes[i] = letters.charCodeAt(i);
  return bytes;
};
const floatsOf = (base64) => new Float32Array(decoded(base64).buffer);

const isShown = (value, isShare) => Number.isFinite(value) && (isShare || value > 0);

const powerText = (exponent) => `10${String(exponent).replace(/./g, (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]))}`;

const numberText = (value) => {
  if (!Number.isFinite(value)) return "not known";
  if (value === 0) return "0";
  const exponent = Number(value.toExponential(2).split("e")[1]);
  if (exponent >= -4 && exponent < 6) return value.toLocaleString("en", { maximumSignificantDigits: 3 });
  const digits = Number(value.toExponential(2).split("e")[0]);
  return digits === 1 ? powerText(exponent) : `${digits}·${powerText(exponent)}`;
};

// What is almost none or almost all is not rounded to none or all
const percentText = (share) => {
  if (!Number.isFinite(share)) return "not known";
  if (share > 0 && share < 0.001) return "<0.1 %";
  if (share > 0.999 && share < 1) return ">99.9 %";
  return `${Number((100 * share).toPrecision(3))} %`;
};

const stepText = (x) => x.toLocaleString("en", { maximumFractionDigits: 0 });

const quantileOf = (sorted, level) => {
  const place = level * (sorted.length - 1);
  const below = Math.floor(place);
  return sorted[below] + (place - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below]);
};
const medianOf = (values) => quantileOf(Float64Array.from(values).sort(), 0.5);

// Few round ticks: powers of ten, or 1, 2, 5 if there are too few
const logTicks = (low, high, most) => {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const stride = Math.max(1, Math.ceil((last - first + 1) / most));
  const powers = [];
  for (let exponent = first; exponent <= last; exponent += stride) powers.push(10 ** exponent);
  if (powers.length > 1) return powers;
  const finer = d3.scaleLog().domain([low, high]).ticks(most);
  const round = finer.filter((tick) => /^[125]/.test(tick.toExponential(6)));
  return round.length > 1 ? round : finer.slice(0, most);
};
// All of an axis plain, or all in powers of ten
const tickTexts = (ticks) => {
  const isPlain = ticks.every((tick) => tick >= 0.99e-4 && tick <= 1.01e5);
  return (tick) => {
    if (isPlain) return tick.toLocaleString("en", { maximumSignificantDigits: 3 });
    const [digits, exponent] = tick.toExponential(2).split("e").map(Number);
    return digits === 1 ? powerText(exponent) : `${digits}·${powerText(exponent)}`;
  };
};

// Shares begin at 0; where all are small the axis ends at 5 % or 25 %, so that they can be told apart
const shareTop = (values) => [0.05, 0.25].find((top) => values.every((value) => !(value > top))) ?? 1;
const shareTicks = (top) => [0, 1, 2, 3, 4, 5].slice(0, top === 1 ? 5 : 6).map((i) => (i * top) / (top === 1 ? 4 : 5));
const shareTickText = (tick) => `${+(100 * tick).toPrecision(3)} %`;

// Limits of a logarithmic axis that a few outliers don't set: the rule is described where `robust_range` of the
// package's plots is, and a test holds both to the same numbers. Each of `series` is an array of values above 0.
const FAR = 1.5;
const DEVIATIONS = 5;
const FEW = 4;
const LEAST_MARGIN = 0.12;
const robustRange = (series, others = [], decades = 1) => {
  const logs = series.map((values) => values.map(Math.log10)).filter((values) => values.length);
  const medians = logs.map(medianOf);
  const middle = medians.length ? medianOf(medians) : 0;
  const reach = Math.max(FAR, DEVIATIONS * (medians.length ? medianOf(medians.map((m) => Math.abs(m - middle))) : 0));
  const all = logs.flat().sort((a, b) => a - b);
  const kept = logs.filter((_, i) => Math.abs(medians[i] - middle) <= reach).flat().sort((a, b) => a - b);
  const ends = others.map(Math.log10);
  if (all.length && all[all.length - 1] - all[0] <= FEW) ends.push(all[0], all[all.length - 1]);
  else if (kept.length) {
    const rare = [quantileOf(kept, 0.01), quantileOf(kept, 0.99)];
    const extreme = [kept[0], kept[kept.length - 1]];
    ends.push(...rare.map((each, i) => (Math.abs(extreme[i] - each) <= 1 ? extreme[i] : each)));
  }
  if (!ends.length) ends.push(-0.88, 0.88);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const margin = Math.max((high - low) * 0.06, (decades - (high - low)) / 2, LEAST_MARGIN);
  return [10 ** (low - margin), 10 ** (high + margin)];
};
