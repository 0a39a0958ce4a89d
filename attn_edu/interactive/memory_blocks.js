// Memory blocks. Pixels are numbered in reading order; order[i] says when pixel i is generated.

// Blocks in reading order, and pixels within each.
function orderOf({ dimensions, h_q, w_q }, height, width) {
  const pixels = Array.from({ length: height * width }, (_, i) => [Math.floor(i / width), i % width]);
  const [tall, wide] = dimensions === 2 ? [h_q, w_q] : [1, width];
  const rank = ([r, c]) => [Math.floor(r / tall), Math.floor(c / wide), r % tall, c % wide];
  const ranks = pixels.map(rank);
  const sorted = pixels.map((_, i) => i).sort((a, b) => {
    const differ = ranks[a].findIndex((x, n) => x !== ranks[b][n]);
    return differ < 0 ? 0 : ranks[a][differ] - ranks[b][differ];
  });
  const order = [];
  sorted.forEach((i, t) => (order[i] = t));
  return order;
}

// Which pixels are in the query block of pixel p, and which in its memory block.
function blocksOf({ dimensions, l_q, l_m, h_q, w_q, h_m, w_m }, p, height, width) {
  const pixels = Array.from({ length: height * width }, (_, i) => i);
  if (dimensions === 1) {
    const start = Math.floor(p / l_q) * l_q;
    const within = (from) => pixels.map((i) => i >= from && i < start + l_q);
    return { block: within(start), memory: within(start - l_m) };
  }
  const top = Math.floor(Math.floor(p / width) / h_q) * h_q;
  const left = Math.floor((p % width) / w_q) * w_q;
  const within = (above, beside) =>
    pixels.map((i) => {
      const [r, c] = [Math.floor(i / width), i % width];
      return r >= top - above && r < top + h_q && c >= left - beside && c < left + w_q + beside;
    });
  return { block: within(0, 0), memory: within(h_m, w_m) };
}

function render({ model, el }) {
  const sizes = ["l_q", "l_m", "h_q", "w_q", "h_m", "w_m"];
  const moved = ["dimensions", "pixel", ...sizes];
  const names = ["image", ...moved, "caption"];
  const first = Object.fromEntries(moved.map((name) => [name, model.get(name)]));
  let state, height, width, order, cells, grid;

  const set = setter(model);

  const slider = (name, text) => {
    const input = make("input", "", { type: "range", step: 1, "aria-label": text });
    const read = make("output", "attn-mb-read", { "aria-hidden": true });
    input.addEventListener("input", () => set({ [name]: Number(input.value) }));
    return { name, input, read, node: make("label", "", {}, make("span", "", {}, text), input, read) };
  };
  const line = [slider("l_q", "block"), slider("l_m", "memory before")];
  const plane = [slider("h_q", "block rows"), slider("w_q", "block columns"), slider("h_m", "memory above"), slider("w_m", "memory beside")];
  const form = choice("Blocks in", ["1-D", "2-D"], (n) => set({ dimensions: n + 1 }));
  const step = (by) => () => {
    const t = clamp(order[state.pixel] + by, 0, order.length - 1);
    set({ pixel: order.indexOf(t) });
  };
  const reset = button("Reset", () => set(first));
  const controls = make("div", "attn-controls", {}, form.node, button("Earlier", step(-1)), button("Later", step(1)), reset);
  const sliders = make("div", "attn-controls attn-mb-sliders", {}, ...[...line, ...plane].map(({ node }) => node));

  const legend = make("ul", "attn-mb-legend");
  for (const [kind, text] of [
    ["query", "asks"],
    ["block", "query block"],
    ["seen", "seen"],
    ["masked", "in memory, but later"],
    ["made", "generated, not seen"],
    ["later", "later"],
  ])
    legend.append(make("li", "", {}, make("i", `attn-mb-${kind}`, { "aria-hidden": true }), text));
  const fill = make("i");
  const count = make("span");
  const total = make("div", "attn-mb-total", {}, make("div", "attn-mb-bar", { "aria-hidden": true }, fill), count);
  const sentence = make("p", "attn-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const body = make("div", "attn-mb-body");
  const attributes = { "aria-label": "Memory blocks", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-mb", attributes, controls, sliders, body, legend, total, sentence, caption);

  function keys(event) {
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [];
    if (down === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const [r, c] = [Math.floor(state.pixel / width) + down, (state.pixel % width) + right];
    set({ pixel: clamp(r, 0, height - 1) * width + clamp(c, 0, width - 1) });
    cells[state.pixel].node.focus();
  }

  function build() {
    [height, width] = [state.image.length, state.image[0].length];
    cells = state.image.flat().map((ink) => {
      const dot = make("i", "", { style: `--ink: ${ink}` });
      const number = make("span");
      return { node: make("div", "attn-mb-cell", { role: "gridcell" }, dot, number), dot, number };
    });
    const rows = state.image.map((_, r) => {
      const nodes = cells.slice(r * width, (r + 1) * width).map(({ node }) => node);
      return make("div", "attn-mb-row", { role: "row" }, ...nodes);
    });
    grid = make("div", "attn-mb-grid", { role: "grid", "aria-label": "The pixel that asks: arrow keys choose it" }, ...rows);
    grid.style.setProperty("--wide", width);
    grid.addEventListener("keydown", keys);
    grid.addEventListener("click", ({ target }) => {
      const i = cells.findIndex(({ node }) => node.contains(target));
      if (i >= 0) set({ pixel: i });
    });
    body.replaceChildren(grid);
  }

  function draw() {
    const { dimensions, pixel } = state;
    order = orderOf(state, height, width);
    const seen = (p, memory) => memory.map((m, i) => m && order[i] <= order[p]);
    const { block, memory } = blocksOf(state, pixel, height, width);
    const sees = seen(pixel, memory);
    const all = order.map((_, p) => seen(p, blocksOf(state, p, height, width).memory).filter(Boolean).length);
    const pairs = sumOf(all);
    const full = (order.length * (order.length + 1)) / 2;
    figure.dataset.state = JSON.stringify(Object.fromEntries(moved.map((name) => [name, state[name]])));
    for (const [name, value] of Object.entries({ order, block, memory, sees, all })) figure.dataset[name] = JSON.stringify(value.map(Number));

    form.show(dimensions - 1);
    const most = { l_q: Math.min(2 * width, order.length), l_m: order.length, h_q: height, w_q: width, h_m: height, w_m: width };
    for (const [shown, group] of [[dimensions === 1, line], [dimensions === 2, plane]])
      for (const { name, input, read, node } of group) {
        node.hidden = !shown;
        input.min = name.endsWith("q") ? 1 : 0;
        input.max = Math.max(most[name], state[name]);
        input.value = state[name];
        read.textContent = state[name];
      }
    const kind = (i) => (order[i] > order[pixel] ? (memory[i] ? "masked" : "later") : sees[i] ? "seen" : "made");
    const said = { masked: "in the memory block, but later", later: "later", seen: "seen", made: "generated, not seen" };
    cells.forEach(({ node, dot, number: text }, i) => {
      const [r, c] = [Math.floor(i / width), i % width];
      node.className = `attn-mb-cell attn-mb-${kind(i)}`;
      node.classList.toggle("attn-mb-query", i === pixel);
      dot.hidden = order[i] >= order[pixel];
      text.textContent = order[i] + 1;
      // The outline of the query block: a side of a pixel whose neighbour is not in it.
      const out = (row, column) => block[i] && !(row >= 0 && row < height && column >= 0 && column < width && block[row * width + column]);
      const sides = { top: out(r - 1, c), right: out(r, c + 1), bottom: out(r + 1, c), left: out(r, c - 1) };
      for (const [side, on] of Object.entries(sides)) node.style.setProperty(`--${side}`, on ? "3px" : "0px");
      node.tabIndex = i === pixel ? 0 : -1;
      node.setAttribute("aria-selected", i === pixel);
      const place = `row ${r + 1}, column ${c + 1}, number ${order[i] + 1}`;
      node.setAttribute("aria-label", i === pixel ? `${place}: asks` : `${place}: ${said[kind(i)]}${block[i] ? ", in the query block" : ""}`);
    });
    fill.style.width = `${(100 * pairs) / full}%`;
    count.textContent = `All pixels together see ${grouped(pairs)}. Full causal attention: ${grouped(full)}.`;
    const held = memory.filter(Boolean).length;
    const now = sees.filter(Boolean).length;
    const where = `row ${Math.floor(pixel / width) + 1}, column ${(pixel % width) + 1}`;
    sentence.textContent = `The pixel in ${where} is number ${order[pixel] + 1} of ${order.length}. Of the ${held} in its memory block it sees ${now}, its own place included.`;
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Python sets several names at once; until the last has come, they may not fit.
    if (next.pixel >= next.image.length * next.image[0].length) return;
    const same = state && next.image === state.image;
    state = next;
    if (!same) build();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
