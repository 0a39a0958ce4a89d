// The score dial: five scores of one query among fixed keys in the plane.

const SCORES = ["dot", "scaled dot", "cosine", "general", "additive"];
const LIMIT = 3;
const apply = (matrix, vector) => matrix.map((row) => dot(row, vector));

// W_a multiplies a key's first feature, then turns the key.
function metric({ turn, stretch }) {
  const angle = (turn * Math.PI) / 180;
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return [[c * stretch, -s], [s * stretch, c]];
}

// Along three directions, 60° apart, a bump where query and key agree.
function near(q, k) {
  const bump = (x) => Math.tanh(2 * x + 1) - Math.tanh(2 * x - 1);
  const along = (angle) => dot([Math.cos(angle), Math.sin(angle)], [q[0] - k[0], q[1] - k[1]]);
  return [0, Math.PI / 3, (2 * Math.PI) / 3].reduce((sum, angle) => sum + bump(along(angle)), 0);
}

function scoresOf(state) {
  const { query: q, key: keys, beta } = state;
  const W = metric(state);
  const length = (x) => Math.hypot(...x) || 1;
  return [
    keys.map((k) => dot(q, k)),
    keys.map((k) => dot(q, k) / Math.sqrt(2)),
    keys.map((k) => (beta * dot(q, k)) / (length(q) * length(k))),
    keys.map((k) => dot(q, apply(W, k))),
    keys.map((k) => near(q, k)),
  ];
}

function render({ model, el }) {
  const names = ["key", "names", "query", "beta", "turn", "stretch", "caption"];
  const moved = ["query", "beta", "turn", "stretch"];
  const first = Object.fromEntries(moved.map((name) => [name, model.get(name)]));
  let state, labels, cells;

  const set = setter(model);
  const dial = (name, text, min, max, step) => slider(text, { min, max, step }, (x) => set({ [name]: x }));
  const dials = {
    beta: dial("beta", "β of the cosine", 0, 20, 0.5),
    turn: dial("turn", "Wₐ turns by", -180, 180, 5),
    stretch: dial("stretch", "and stretches by", 0, 3, 0.1),
  };
  const fits = (by) => Math.max(...state.query.map(Math.abs)) * by <= LIMIT;
  const scale = (by) => fits(by) && set({ query: state.query.map((x) => x * by) });
  const double = button("query × 2", () => scale(2));
  const half = button("query ÷ 2", () => scale(0.5));
  const buttons = make("div", "attn-controls", {}, double, half, button("Reset", () => set(first)));

  const grid = svg("path", { class: "attn-score-grid", d: "M-3 0H3M0 -3V3" });
  const dots = svg("g");
  const [arrow, ghost] = ["attn-score-arrow", "attn-score-ghost"].map((name) => svg("path", { class: name }));
  const canvas = svg("svg", { viewBox: "-3 -3 6 6", "aria-hidden": true }, grid, ghost, arrow, dots);
  const about = { role: "slider", tabindex: 0, "aria-roledescription": "arrow", "aria-label": "Query, moved by arrow keys" };
  const handle = make("div", "attn-score-handle", { ...about, "aria-valuemin": -LIMIT, "aria-valuemax": LIMIT });
  const plot = make("div", "attn-score-plot", {}, canvas, handle);
  const place = ([x, y]) => [(x + LIMIT) / (2 * LIMIT), (LIMIT - y) / (2 * LIMIT)];
  draggable(handle, plot, () => place(state.query), (left, top) => {
    const snap = (x) => clamp(Number((Math.round(x * 20) / 20).toFixed(2)), -LIMIT, LIMIT);
    set({ query: [snap((2 * left - 1) * LIMIT), snap((1 - 2 * top) * LIMIT)] });
  });

  const rows = make("div", "attn-score-rows", { role: "table", "aria-label": "Weights, a row for each score" });
  const legend = make("p", "attn-score-legend");
  const sentence = make("p", "attn-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const sliders = make("div", "attn-controls attn-score-sliders", {}, ...Object.values(dials).map(({ node }) => node));
  const left = make("div", "", {}, plot, buttons);
  const body = make("div", "attn-score-body", {}, left, make("div", "", {}, rows, sliders));
  const attributes = { "aria-label": "Score dial", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-score-dial", attributes, body, legend, sentence, caption);

  function build() {
    labels = distinct(state.names);
    rows.style.setProperty("--keys", labels.length);
    const head = labels.map((name) => make("div", "attn-score-key", { role: "columnheader" }, word(name)));
    cells = SCORES.map(() =>
      labels.map(() => {
        const [bar, text] = [make("b"), make("span")];
        return { bar, text, node: make("div", "attn-score-cell", { role: "cell" }, make("i", "", {}, bar), text) };
      }),
    );
    const line = (title, parts) => make("div", "attn-score-row", { role: "row" }, title, ...parts);
    const corner = make("div", "attn-score-key", { role: "columnheader" }, "score");
    rows.replaceChildren(
      line(corner, head),
      ...SCORES.map((name, n) => line(make("div", "", { role: "rowheader" }, name), cells[n].map(({ node }) => node))),
    );
    dots.replaceChildren(
      ...state.key.flatMap(([x, y], j) => {
        const text = svg("text", { x: x + (x > 2.4 ? -0.1 : 0.1), y: -y + (y < -2.4 ? -0.22 : 0.44), "text-anchor": x > 2.4 ? "end" : "start" });
        text.append(labels[j]);
        return [svg("circle", { cx: x, cy: -y, r: 0.13 }), text];
      }),
    );
  }

  const most = (row) => {
    const high = Math.max(...row);
    const keys = row.flatMap((w, j) => (w > high - 5e-4 ? [word(labels[j]), ", "] : []));
    return [...keys.slice(0, -1), ` ${high.toFixed(2)}`];
  };

  function draw() {
    const { query } = state;
    const W = metric(state);
    const scores = scoresOf(state);
    const weights = scores.map((row) => softmax(row, 1));
    figure.dataset.state = JSON.stringify(Object.fromEntries(moved.map((name) => [name, state[name]])));
    figure.dataset.weights = JSON.stringify(weights);
    for (const [name, { show }] of Object.entries(dials))
      show(state[name], `${state[name]}${name === "turn" ? "°" : ""}`.replace("-", "−"));

    // q·(Wk) is (Wᵀq)·k: the query as the general score has it.
    const seen = [0, 1].map((c) => dot(query, [W[0][c], W[1][c]]));
    const to = ([x, y]) => `M0 0L${x} ${-y}`;
    arrow.setAttribute("d", to(query));
    ghost.setAttribute("d", to(seen));
    const same = Math.hypot(seen[0] - query[0], seen[1] - query[1]) < 1e-9;
    ghost.style.display = same ? "none" : "";
    const [x, y] = place(query);
    handle.style.left = `${100 * x}%`;
    handle.style.top = `${100 * y}%`;
    handle.setAttribute("aria-valuenow", query[0]);
    handle.setAttribute("aria-valuetext", `query at (${query.map(number).join(", ")})`);
    double.setAttribute("aria-disabled", !fits(2));
    cells.forEach((row, n) =>
      row.forEach(({ bar, text }, j) => {
        bar.style.height = `${100 * weights[n][j]}%`;
        text.textContent = weights[n][j].toFixed(2);
      }),
    );
    const parts = SCORES.flatMap((name, n) => [n ? ", " : "", `${name} `, ...most(weights[n])]);
    sentence.replaceChildren(`Query of length ${number(Math.hypot(...query))}. Most weight: `, ...parts, ".");
    legend.textContent = same ? "Arrow: the query." : "Arrow: the query; dashed: the query as general sees it, Wₐᵀq.";
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Python sets several names at once; until the last has come, they may not fit.
    if (next.names.length !== next.key.length) return;
    const same = state && next.key === state.key && next.names === state.names;
    state = next;
    if (!same) build();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
