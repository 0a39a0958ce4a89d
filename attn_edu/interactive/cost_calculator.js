// What a block costs, for sizes that the reader chooses. The formulas are those of attn_edu/costs.py.

const TILE = 128;

const operationsOf = (L, d) => ({ projections: 4 * L * d * d, pairs: 2 * L * L * d, feed_forward: 8 * L * d * d });

function heldOf(L, h, bytes) {
  const side = Math.min(TILE, L);
  return { maps: h * L * L * bytes, tiles: (side * side + h * L) * bytes };
}

function movedOf(L, d, h, bytes) {
  const once = 2 * L * d;
  return { maps: (2 * once + 4 * h * L * L) * bytes, tiles: (once + once * Math.ceil(L / TILE)) * bytes };
}

const powers = Array.from({ length: 21 }, (_, k) => [2 ** k, 3 * 2 ** k]).flat().sort((a, b) => a - b);
const LENGTHS = powers.filter((n) => n >= 64 && n <= 2 ** 20);
const WIDTHS = LENGTHS.filter((n) => n <= 2 ** 14);
const headsOf = (width) => powers.filter((h) => h <= 64 && width % h === 0);

const three = (x) => grouped(Number(x.toPrecision(3)));
function count(n) {
  for (const [size, name] of [[1e18, "quintillion"], [1e15, "quadrillion"], [1e12, "trillion"], [1e9, "billion"]])
    if (n >= size) return `${three(n / size)} ${name}`;
  return `${three(n / 1e6)} million`;
}
const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB"];
function size(n) {
  const power = clamp(Math.floor(Math.log2(n) / 10), 1, UNITS.length);
  return `${three(n / 1024 ** power)} ${UNITS[power - 1]}`;
}
function percent(part) {
  if (part > 0 && part < 0.005) return "under 1%";
  if (part >= 0.995 && part < 1) return "over 99%";
  return `${Math.floor(100 * part + 0.5)}%`;
}

// Places on the scale of bytes, in per cent: from 1 KiB to 4 PiB, equal steps for equal factors.
const place = (n) => (100 * (Math.log2(n) - 10)) / 42;

function render({ model, el }) {
  const moved = ["length", "width", "heads", "number"];
  const names = [...moved, "caption"];
  const first = Object.fromEntries(moved.map((name) => [name, model.get(name)]));
  let state;

  const set = setter(model);

  const slider = (name, text, tell) => {
    const input = make("input", "", { type: "range", min: 0, step: 1, "aria-label": text });
    const read = make("output", "attn-cc-read", { "aria-hidden": true });
    input.addEventListener("input", () => tell(Number(input.value)));
    const show = (choices) => {
      input.max = choices.length - 1;
      input.value = choices.indexOf(state[name]);
      read.textContent = grouped(state[name]);
      input.setAttribute("aria-valuetext", grouped(state[name]));
    };
    return { node: make("label", "", {}, make("span", "", {}, text), input, read), show };
  };
  const length = slider("length", "tokens", (n) => set({ length: LENGTHS[n] }));
  const width = slider("width", "width", (n) => {
    const heads = headsOf(WIDTHS[n]).filter((h) => h <= state.heads);
    set({ width: WIDTHS[n], heads: heads.at(-1) });
  });
  const heads = slider("heads", "heads", (n) => set({ heads: headsOf(state.width)[n] }));
  const number = choice("Bytes of a number", ["4 bytes", "2 bytes"], (n) => set({ number: n ? 2 : 4 }));
  const reset = button("Reset", () => set(first));
  const sliders = make("div", "attn-controls attn-cc-sliders", {}, length.node, width.node, heads.node);
  const controls = make("div", "attn-controls", {}, number.node, reset);

  const parts = ["projections", "pairs", "feed_forward"].map((name, n) => {
    const bar = make("i", `attn-cc-part attn-cc-${name}`);
    const said = make("span", "attn-cc-said");
    const text = ["projections, 4Ld²", "scores and sums, 2L²d", "feed-forward, 8Ld²"][n];
    const swatch = make("i", `attn-cc-swatch attn-cc-${name}`, { "aria-hidden": true });
    return { name, bar, said, row: make("li", "", {}, swatch, make("span", "", {}, text), said) };
  });
  const bar = make("div", "attn-cc-bar", { "aria-hidden": true }, ...parts.map((part) => part.bar));
  const legend = make("ul", "attn-cc-legend", {}, ...parts.map((part) => part.row));

  const lines = [["held", "maps"], ["held", "tiles"], ["moved", "maps"], ["moved", "tiles"]].map(([bill, form]) => {
    const dot = make("i", `attn-cc-dot attn-cc-${form}`);
    const said = make("span", "attn-cc-said");
    const track = make("div", "attn-cc-track", { "aria-hidden": true }, dot);
    const row = make("li", "", {}, make("span", "", {}, { maps: "with maps", tiles: "by tiles" }[form]), track, said);
    return { bill, form, dot, said, row };
  });
  const list = (bill) => make("ul", "attn-cc-lines", {}, ...lines.filter((line) => line.bill === bill).map(({ row }) => row));
  const ticks = UNITS.map((unit, n) => make("span", "", { style: `left: ${place(2 ** (10 * n + 10))}%` }, `1 ${unit}`));
  const scale = make("div", "attn-cc-scale", { "aria-hidden": true }, make("div", "", {}, ...ticks));

  const sentence = make("p", "attn-cc-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const heading = (text) => make("p", "attn-cc-heading", {}, text);
  const attributes = { "aria-label": "What a block costs", "data-lm-suppress-shortcuts": true };
  const figure = make(
    "figure", "attn-figure attn-cc", attributes, sliders, controls,
    heading("Multiplications of one block"), bar, legend,
    heading("Bytes held by one layer of attention"), list("held"),
    heading("Bytes moved by it"), list("moved"), scale, sentence, caption,
  );

  function draw() {
    const { length: L, width: d, heads: h, number: bytes } = state;
    const costs = { operations: operationsOf(L, d), held: heldOf(L, h, bytes), moved: movedOf(L, d, h, bytes) };
    figure.dataset.state = JSON.stringify(Object.fromEntries(moved.map((name) => [name, state[name]])));
    for (const [name, value] of Object.entries(costs)) figure.dataset[name] = JSON.stringify(value);

    length.show(LENGTHS);
    width.show(WIDTHS);
    heads.show(headsOf(d));
    number.show(bytes === 4 ? 0 : 1);
    const total = sumOf(Object.values(costs.operations));
    for (const { name, bar: piece, said } of parts) {
      const n = costs.operations[name];
      piece.style.width = `${(100 * n) / total}%`;
      said.textContent = `${count(n)}, ${percent(n / total)}`;
    }
    for (const { bill, form, dot, said } of lines) {
      const n = costs[bill][form];
      dot.style.left = `${place(n)}%`;
      said.textContent = size(n);
    }
    const maps = h === 1 ? "The map of its head takes" : `The maps of its ${h} heads take`;
    sentence.textContent =
      `At ${grouped(L)} tokens a block of width ${grouped(d)} multiplies ${count(total)} times, ` +
      `${percent(costs.operations.pairs / total)} of it for pairs of tokens. ${maps} ${size(costs.held.maps)}; ` +
      `tiles of ${TILE} × ${TILE} need ${size(costs.held.tiles)}. Attention moves ${size(costs.moved.maps)} ` +
      `with maps, ${size(costs.moved.tiles)} by tiles.`;
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    if (!headsOf(next.width).includes(next.heads)) return; // several names change at once; the last has yet to come
    state = next;
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
