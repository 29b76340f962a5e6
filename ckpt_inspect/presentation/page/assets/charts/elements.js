// Elements that all charts are made of. Names come from files: they are set as text, never as markup.

const make = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};

const COLORS = 8;
const color = (place) => `var(--series-${place % COLORS})`;
const DASHES = ["none", "5 2", "1.5 2", "6 2 1.5 2"];

// A piece of a key: a line, or an area of that opacity
const swatch = (stroke, dashes = "none", area = 0) => {
  const svg = d3.create("svg").attr("class", "swatch").attr("viewBox", "0 0 18 10").attr("aria-hidden", "true");
  if (area) svg.append("rect").attr("width", 18).attr("height", 10).attr("fill", stroke).attr("opacity", area);
  else svg.append("path").attr("d", "M0,5H18").attr("stroke", stroke).attr("stroke-width", 2.5).attr("stroke-dasharray", dashes);
  return svg.node();
};

const sharedStart = (names) => {
  const paths = names.map((name) => name.split("/").slice(0, -2));
  const [first = [], ...others] = paths;
  let length = names.length > 1 ? first.length : 0;
  for (const path of others) {
    let same = 0;
    while (same < length && path[same] === first[same]) same += 1;
    length = same;
  }
  return first.slice(0, length).reduce((sum, part) => sum + part.length + 1, 0);
};

// Pixels, about, of the charts' font
const LETTER = 6.8;

// Letters from the middle give way: a name's two ends say most
const shortened = (text, most) => {
  if (text.length <= most) return text;
  const tail = Math.ceil((most - 1) * 0.6);
  return `${text.slice(0, Math.max(most - 1 - tail, 1))}…${text.slice(-tail)}`;
};

const status = make("p", { class: "visually-hidden", role: "status" });
const say = (text) => { status.textContent = text; };

// A box beside the pointer: a name, then what there is to say, each on its own line
class Tip {
  constructor(holder) {
    this.holder = holder;
    this.box = make("div", { class: "tip", "aria-hidden": "true" });
    this.box.hidden = true;
    holder.append(this.box);
  }

  show(x, y, lines) {
    this.box.replaceChildren(...lines.map((line, i) => make(i ? "div" : "b", {}, line)));
    this.box.hidden = false;
    const room = this.holder.clientWidth - this.box.offsetWidth - 4;
    const isLeft = x + 14 > room;
    this.box.style.left = `${Math.max(0, isLeft ? Math.min(x - 14 - this.box.offsetWidth, room) : x + 14)}px`;
    this.box.style.top = `${Math.max(0, y - this.box.offsetHeight - 10)}px`;
  }

  hide() { this.box.hidden = true; }
}
