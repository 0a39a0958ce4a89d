// What figures share; it stands before each figure's own module.

const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

const sumOf = (row) => row.reduce((a, b) => a + b, 0);

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);

// The product of two matrices.
const times = (a, b) => a.map((row) => b[0].map((_, c) => dot(row, b.map((line) => line[c]))));

// Where the largest number of a row stands.
const largest = (row) => row.indexOf(Math.max(...row));

// exp(x - max) never overflows, and the factor cancels in the quotient.
function softmax(row, temperature) {
  const max = Math.max(...row);
  const exps = row.map((x) => Math.exp((x - max) / temperature));
  const sum = sumOf(exps);
  return exps.map((x) => x / sum);
}

// Two decimals for what is small, fewer for what is not, and a true minus.
function number(x) {
  const size = Math.abs(x);
  const text = size < 9.995 ? x.toFixed(2) : size < 999.5 ? x.toFixed(1) : x.toExponential(1);
  return text.replace(/^-(?=[0.]+$)/, "").replaceAll("-", "−");
}

const pair = (point) => `(${point.map(number).join(", ")})`;

// A whole number with a comma for each thousand.
const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");

function make(tag, classes = "", attributes = {}, ...children) {
  const node = document.createElement(tag);
  if (classes) node.className = classes;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// A shape inside an svg element.
function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// A button with words on it, and what it does.
function button(text, tell) {
  const node = make("button", "", { type: "button" }, text);
  node.addEventListener("click", tell);
  return node;
}

// Text of either direction, kept apart from the sentence around it.
const word = (text) => make("bdi", "", {}, text);

// About how many letters wide a text is; Chinese and its neighbours take almost two.
const letters = (text) => [...text].reduce((sum, c) => sum + (c.codePointAt(0) > 0x1100 ? 1.7 : 1), 0);

// A token that occurs twice is told apart by its place.
const distinct = (tokens) => tokens.map((t, i) => (tokens.filter((u) => u === t).length > 1 ? `${t} (${i + 1})` : t));

// A vector as bars above and below a line: pale is v, solid is part × v.
function strip(value) {
  const most = Math.max(...value.flat().map(Math.abs)) || 1;
  const bars = value[0].map(() => make("i", "", {}, make("b"), make("b")));
  const node = make("div", "attn-strip", { role: "img" }, ...bars);
  const draw = (vector, part) => {
    bars.forEach((bar, c) => {
      const height = (50 * Math.abs(vector[c])) / most;
      bar.className = vector[c] < 0 ? "attn-minus" : "";
      bar.firstChild.style.height = `${height}%`;
      bar.lastChild.style.height = `${height * part}%`;
    });
    node.setAttribute("aria-label", vector.map(number).join(", "));
  };
  return { node, draw };
}

// Radio buttons side by side, one of them on; tell(n) when the reader turns to another, show(n) to turn to it.
function choice(label, texts, tell) {
  const name = `attn-${Math.random()}`; // so that two figures do not disturb each other
  const radios = texts.map(() => make("input", "", { type: "radio", name }));
  radios.forEach((radio, n) => radio.addEventListener("change", () => tell(n)));
  const labels = texts.map((text, n) => make("label", "", {}, radios[n], make("span", "", {}, text)));
  const node = make("div", "attn-choice", { role: "radiogroup", "aria-label": label }, ...labels);
  return { node, show: (n) => (radios[n].checked = true) };
}

// Drag a node within an area, or move it by arrow keys. Places are parts of the area's size from its top left:
// place() says where the node is, move(left, top) where it is wanted.
function draggable(node, area, place, move) {
  let grip;
  node.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const box = area.getBoundingClientRect();
    const [left, top] = place();
    grip = [event.clientX - left * box.width, event.clientY - top * box.height];
    node.setPointerCapture(event.pointerId);
    node.focus({ preventScroll: true });
    event.preventDefault();
  });
  node.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const box = area.getBoundingClientRect();
    move((event.clientX - grip[0]) / box.width, (event.clientY - grip[1]) / box.height);
  });
  for (const end of ["pointerup", "pointercancel"]) node.addEventListener(end, () => (grip = undefined));
  node.addEventListener("keydown", (event) => {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
    if (x === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const [left, top] = place();
    const step = event.shiftKey ? 0.01 : 0.05;
    move(left + x * step, top + y * step);
  });
}

// What sets names of a model: set({ name: value, … }).
const setter = (model) => (changes) => {
  for (const [name, value] of Object.entries(changes)) model.set(name, value);
  model.save_changes();
};

// Show a figure and update it with these names of its model. What is returned takes it away, as a render() must.
function follow(model, names, update, el, figure, stop = () => {}) {
  update();
  el.append(figure);
  for (const name of names) model.on(`change:${name}`, update);
  return () => {
    stop();
    for (const name of names) model.off(`change:${name}`, update);
    figure.remove();
  };
}
