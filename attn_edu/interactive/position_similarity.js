// How alike the vectors of positions are.

// Row p holds sin and cos of p / base^(2c / d), pair after pair.
function sinusoids(length, d, base) {
  const angle = (p, i) => p / base ** ((2 * Math.floor(i / 2)) / d);
  const row = (p) => Array.from({ length: d }, (_, i) => (i % 2 ? Math.cos(angle(p, i)) : Math.sin(angle(p, i))));
  return Array.from({ length }, (_, p) => row(p));
}

// The dot product of every two rows, and the same divided by both lengths.
function compare(rows) {
  const products = rows.map((a) => rows.map((b) => dot(a, b)));
  const lengths = rows.map((_, i) => Math.sqrt(products[i][i]));
  const similarity = products.map((row, i) => row.map((x, j) => x / (lengths[i] * lengths[j])));
  return { products, similarity };
}

const SINUSOIDAL = "sinusoidal";
const BASES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000];

function render({ model, el }) {
  const names = ["length", "d_model", "base", "tables", "table", "position", "caption"];
  const moved = ["d_model", "base", "table", "position"];
  const first = Object.fromEntries(moved.map((name) => [name, model.get(name)]));
  const group = `attn-table-${Math.random().toString(36).slice(2)}`;
  let state, cells, found;

  const set = setter(model);
  const called = (text, symbol) => make("span", "attn-name", {}, `${text} `, make("var", "", {}, symbol));

  const choices = make("div", "attn-choices", { role: "radiogroup", "aria-label": "Vectors" });
  const place = slider(called("position", "i"), { min: 0 }, (position) => set({ position }));
  const width = slider(called("width", "d"), { min: 2, step: 2 }, (d_model) => set({ d_model }));
  const root = slider(called("base", ""), { min: 0, max: BASES.length - 1 }, (n) => set({ base: BASES[n] }));
  const reset = button("Reset", () => set(first));
  const controls = make("div", "attn-controls", {}, place.node, width.node, root.node, reset);

  const fills = svg("g", { "shape-rendering": "crispEdges" });
  const frame = make("div", "attn-row");
  const map = chart("attn-map", fills);
  map.node.append(frame);
  map.node.addEventListener("click", (event) => {
    const box = map.node.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * state.length);
    set({ position: clamp(row, 0, state.length - 1) });
  });
  const all = svg("path", { class: "attn-all" });
  const curve = svg("path", { class: "attn-curve" });
  const points = svg("path", { class: "attn-points" });
  const marker = make("i", "attn-marker");
  const plot = chart("attn-plot", all, curve, points);
  plot.node.append(marker);
  const legend = make("p", "attn-legend", { "aria-hidden": true }, "−1", make("i"), "1");
  const title = make("p", "attn-title");
  const panel = (head, one, ...foot) => make("div", "attn-panel", {}, head, one.node, ...foot);
  const axis = (text) => make("p", "attn-axis", { "aria-hidden": true }, text);
  const body = make(
    "div",
    "attn-body",
    {},
    panel(make("p", "attn-title", {}, "How alike are positions i and j?"), map, axis("position j"), legend),
    panel(title, plot, axis("offset j − i"), make("p", "attn-note", { "aria-hidden": true }, "Pale dots: all other rows.")),
  );
  const sentence = make("p", "attn-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "Similarity of positions", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-possim", attributes, choices, controls, body, sentence, caption);

  function build() {
    const n = state.length;
    const tables = [SINUSOIDAL, ...Object.keys(state.tables)];
    choices.replaceChildren(
      ...tables.map((table) => {
        const input = make("input", "", { type: "radio", name: group, value: table });
        input.addEventListener("change", () => set({ table }));
        return make("label", "", {}, input, word(table));
      }),
    );
    choices.hidden = tables.length === 1;
    place.input.max = n - 1;
    width.input.max = Math.max(128, first.d_model);
    const places = steps(0, n - 1);
    map.frame([-0.5, n - 0.5], [n - 0.5, -0.5], places, places);
    plot.frame([-n + 0.5, n - 0.5], [-1.08, 1.08], steps(1 - n, n - 1), [-1, -0.5, 0, 0.5, 1]);
    cells = Array.from({ length: n * n }, (_, cell) =>
      svg("rect", { x: (cell % n) / n, y: Math.floor(cell / n) / n, width: 1 / n, height: 1 / n }),
    );
    fills.replaceChildren(...cells);
    frame.style.height = `${100 / n}%`;
  }

  function colour() {
    const { length, d_model, base, table, tables } = state;
    found = compare(table === SINUSOIDAL ? sinusoids(length, d_model, base) : tables[table]);
    const { similarity } = found;
    cells.forEach((cell, n) => {
      const x = similarity[Math.floor(n / length)][n % length];
      const part = clamp(100 * Math.abs(x), 0, 100);
      cell.style.fill = `color-mix(in oklab, var(--attn-none), var(--attn-${x < 0 ? "minus" : "full"}) ${part}%)`;
    });
    all.setAttribute("d", plot.dots(similarity.flatMap((row, i) => row.map((x, j) => [j - i, x]))));
    found.even = similarity.every((row, i) => row.every((x, j) => Math.abs(x - similarity[0][Math.abs(j - i)]) < 1e-9));
    figure.dataset.similarity = JSON.stringify(similarity);
    figure.dataset.even = found.even;
  }

  // Where the distance alone counts: where the curve, once fallen, rises again, and whether it comes back to 1.
  function remark() {
    if (!found.even) return "Here the distance alone does not decide.";
    const far = found.similarity[0];
    const rise = far.findIndex((x, k) => k > 0 && far[k + 1] > x + 0.005);
    const twin = rise < 0 ? -1 : far.findIndex((x, k) => k > rise && x > 0.98);
    const again = twin > 0 ? ` Positions ${twin} apart are nearly the same.` : rise > 0 ? ` It stops falling at distance ${rise}.` : "";
    return `Only the distance counts, so before and after look the same.${again}`;
  }

  function draw() {
    const { length, d_model, base, table, tables, position } = state;
    const given = table !== SINUSOIDAL;
    const row = found.similarity[position];
    const product = found.products[position];
    figure.dataset.state = JSON.stringify({ d_model, base, table, position });
    figure.dataset.row = JSON.stringify(row);
    figure.dataset.products = JSON.stringify(product);

    for (const input of choices.querySelectorAll("input")) input.checked = input.value === table;
    place.show(position, position);
    width.show(given ? tables[table][0].length : d_model, given ? tables[table][0].length : d_model);
    const near = BASES.map((one) => Math.abs(Math.log(one / base)));
    root.show(near.indexOf(Math.min(...near)), given ? "–" : Number(base.toPrecision(4)));
    for (const one of [width, root]) one.input.disabled = given;

    frame.style.top = `${(100 * position) / length}%`;
    map.node.setAttribute("aria-label", `Similarity of every two of ${length} positions; the row of position ${position} is framed`);
    const path = row.map((x, j) => [j - position, x]);
    curve.setAttribute("d", plot.line(path));
    points.setAttribute("d", plot.dots(path));
    const [left, top] = plot.at(0, 1);
    marker.style.left = `${100 * left}%`;
    marker.style.top = `${100 * top}%`;
    title.replaceChildren(`Row i = ${position}, by offset`);
    plot.node.setAttribute("aria-label", `Similarity to position ${position}: ${row.map((x, j) => `${j}: ${number(x)}`).join(", ")}`);

    const p = (j) => make("span", "", {}, "p", make("sub", "", {}, String(j)));
    const beside = [position + 1, position - 1].filter((j) => j >= 0 && j < length);
    const parts = beside.flatMap((j, n) => [n ? "; " : "", p(position), "·", p(j), ` = ${number(product[j])}, similarity `, make("b", "", {}, number(row[j]))]);
    sentence.replaceChildren(p(position), "·", p(position), ` = ${number(product[position])}; `, ...parts, ". ", remark());
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Python sets several names at once; until the last has come, they may not fit.
    if (next.table !== SINUSOIDAL && !next.tables[next.table]) return;
    if (Object.values(next.tables).some((rows) => rows.length !== next.length) || next.position >= next.length) return;
    const same = (...some) => state && some.every((name) => next[name] === state[name]);
    const [built, coloured] = [same("length", "tables"), same("length", "tables", "d_model", "base", "table")];
    state = next;
    if (!built) build();
    if (!coloured) colour();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
