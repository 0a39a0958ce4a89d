// The attention explorer. Rows are queries, columns keys.

function attention({ query, key, value, scale, temperature, causal }) {
  const factor = scale ?? 1 / Math.sqrt(query[0].length);
  const scores = query.map((q) => key.map((k) => dot(q, k) * factor));
  const allowed = (i, j) => !causal || j <= i;
  const weights = scores.map((row, i) => softmax(row.map((x, j) => (allowed(i, j) ? x : -Infinity)), temperature));
  const output = weights.map((row) => value[0].map((_, c) => dot(row, value.map((v) => v[c]))));
  return { scores, allowed, weights, output };
}

function buildMap(rows, columns) {
  const corner = make("div", "attn-corner", { role: "columnheader" });
  corner.append(make("span", "attn-key", {}, "keys →"), make("span", "attn-query", {}, "queries ↓"));
  const heads = columns.map((name, j) =>
    make("div", "attn-head", { role: "columnheader", "data-column": j, title: name }, make("span", "", {}, word(name))),
  );
  const lines = rows.map((name, i) => {
    const head = make("div", "attn-row-head", { role: "rowheader", "data-row": i, title: name }, word(name));
    const cells = columns.map((_, j) =>
      make("div", "attn-cell", { role: "gridcell", "data-row": i, "data-column": j }, make("span")),
    );
    return { node: make("div", "attn-row", { role: "row" }, head, ...cells), cells };
  });
  const label = "Attention weights, a row for each query and a column for each key";
  const top = make("div", "attn-row attn-heads", { role: "row" }, corner, ...heads);
  const node = make("div", "attn-map", { role: "grid", "aria-label": label }, top, ...lines.map((line) => line.node));
  return { node, heads, lines };
}

function buildSum(columns, value) {
  const title = make("div", "attn-title");
  const names = ["key", "score", "weight", "value"].map((name) => make("div", "", { role: "columnheader" }, name));
  const lines = columns.map((name, j) => {
    const score = make("div", "attn-score", { role: "cell" });
    const bar = make("b");
    const weight = make("span");
    const vector = strip(value);
    const node = make(
      "div",
      "attn-term",
      { role: "row", "data-column": j },
      make("div", "attn-key", { role: "rowheader", title: name }, word(name)),
      score,
      make("div", "attn-weight", { role: "cell" }, make("i", "attn-bar", {}, bar), weight),
      make("div", "", { role: "cell" }, vector.node),
    );
    return { node, score, bar, weight, vector };
  });
  const top = make("div", "attn-term attn-names", { role: "row" }, ...names);
  const label = "The selected query's weighted sum, a row for each key";
  const table = make("div", "attn-terms", { role: "table", "aria-label": label }, top, ...lines.map((line) => line.node));
  const total = strip(value);
  const numbers = value[0].map(() => make("span"));
  const under = numbers.length <= 4 && Math.max(...value.flat().map(Math.abs)) < 9.995;
  const sum = make("div", "attn-total", {}, make("span", "", {}, "output = Σ weight × value"), total.node);
  const list = make("div", under ? "attn-numbers attn-under" : "attn-numbers", {}, ...numbers);
  const note = make("div", "attn-note", {}, "pale: value, solid: weight × value");
  return { node: make("div", "attn-sum", {}, title, table, sum, list, note), title, lines, total, numbers };
}

function render({ model, el }) {
  const names = ["tokens", "key_tokens", "query", "key", "value", "scale", "temperature", "causal", "selected", "caption"];
  const first = Object.fromEntries(["temperature", "causal", "selected"].map((name) => [name, model.get(name)]));
  let state, rows, columns, map, sum;
  let focus = -1; // the key under the pointer or the keyboard

  const set = setter(model);

  const slider = make("input", "", { type: "range", min: -1, max: 1, step: 0.05 });
  slider.addEventListener("input", () => set({ temperature: Number((10 ** slider.value).toPrecision(3)) }));
  const reading = make("span", "attn-reading", { "aria-hidden": true });
  const box = make("input", "", { type: "checkbox" });
  box.addEventListener("change", () => set({ causal: box.checked }));
  const causal = make("label", "", {}, box, "Causal: no later keys");
  const reset = button("Reset", () => set({ ...first, selected: Math.min(first.selected, rows.length - 1) }));

  const controls = make("div", "attn-controls", {}, make("label", "", {}, "Temperature", slider, reading), causal, reset);
  const scroll = make("div", "attn-scroll");
  const masked = make("span", "", {}, make("i", "attn-masked"), "masked");
  const legend = make("div", "attn-legend", { "aria-hidden": true }, "weight 0", make("i"), "1", masked);
  const body = make("div", "attn-body");
  const sentence = make("p", "attn-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "Attention explorer", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-explorer", attributes, controls, body, sentence, caption);

  function point(event) {
    const { row = state.selected, column = focus } = event.target.closest("[data-row], [data-column]")?.dataset ?? {};
    const moved = Number(column) !== focus;
    focus = Number(column);
    if (Number(row) !== state.selected) set({ selected: Number(row) });
    else if (moved) mark();
  }
  for (const event of ["pointermove", "pointerdown", "focusin"]) body.addEventListener(event, point);

  body.addEventListener("keydown", (event) => {
    const far = event.ctrlKey || event.metaKey;
    const [row, column] = {
      ArrowUp: [state.selected - 1, focus],
      ArrowDown: [state.selected + 1, focus],
      ArrowLeft: [state.selected, focus - 1],
      ArrowRight: [state.selected, focus + 1],
      Home: [far ? 0 : state.selected, 0],
      End: [far ? rows.length - 1 : state.selected, columns.length - 1],
    }[event.key] ?? [];
    if (row === undefined || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    map.lines[clamp(row, 0, rows.length - 1)].cells[clamp(column, 0, columns.length - 1)].focus();
  });

  function build() {
    rows = distinct(state.tokens);
    columns = distinct(state.key_tokens ?? state.tokens);
    focus = Math.min(focus, columns.length - 1);
    map = buildMap(rows, columns);
    sum = buildSum(columns, state.value);
    const em = 7.6; // pixels for a letter, about
    const longest = (texts) => clamp(Math.max(...texts.map(letters)), 3, 14) * em;
    // A slanted name reaches half its length to the right, past cells of 24 pixels or more and the map's edge.
    const spill = columns.map((name, j) => (Math.min(letters(name), 14) * em) / 2 - 24 * (columns.length - 1 - j) - 20);
    const side = Math.max(longest(rows) + 12, 64);
    const over = Math.max(0, ...spill);
    const lengths = { "row-head": side, "key-head": longest(columns), spill: over };
    for (const [name, length] of Object.entries(lengths)) figure.style.setProperty(`--${name}`, `${length}px`);
    figure.style.setProperty("--keys", columns.length);
    figure.style.setProperty("--widths", state.value[0].length);
    figure.classList.toggle("attn-slanted", longest(columns) > 3 * em);
    figure.classList.toggle("attn-many", side + 24 * columns.length + over > 340);
    scroll.replaceChildren(map.node);
    body.replaceChildren(make("div", "attn-left", {}, scroll, legend), sum.node);
  }

  // Mark the column in focus, and make its cell in the selected row the one that Tab reaches.
  function mark() {
    map.heads.forEach((node, j) => node.classList.toggle("attn-on", j === focus));
    sum.lines.forEach(({ node }, j) => node.classList.toggle("attn-on", j === focus));
    map.lines.forEach(({ node, cells }, i) => {
      node.setAttribute("aria-selected", i === state.selected);
      cells.forEach((cell, j) => (cell.tabIndex = i === state.selected && j === Math.max(focus, 0) ? 0 : -1));
    });
  }

  function draw() {
    const { scores, allowed, weights, output } = attention(state);
    const i = state.selected;
    figure.dataset.temperature = state.temperature;

    slider.value = clamp(Math.log10(state.temperature), -1, 1);
    reading.textContent = number(state.temperature);
    slider.setAttribute("aria-valuetext", reading.textContent);
    box.checked = state.causal;
    causal.hidden = rows.length !== columns.length;
    masked.style.visibility = state.causal ? "" : "hidden";

    map.lines.forEach(({ cells }, row) =>
      cells.forEach((cell, j) => {
        const weight = weights[row][j];
        const text = weight.toFixed(2);
        const open = allowed(row, j);
        cell.dataset.weight = weight;
        cell.dataset.score = scores[row][j];
        cell.style.setProperty("--weight", weight);
        cell.className = `attn-cell ${!open ? "attn-masked" : weight > 0.621 ? "attn-deep" : ""}`;
        cell.firstChild.textContent = open ? text.replace(/^0/, "").replace("1.00", "1.0") : "";
        cell.setAttribute("aria-label", open ? text : "masked");
      }),
    );

    sum.title.replaceChildren("For the query ", make("span", "attn-query", {}, word(rows[i])));
    sum.lines.forEach(({ node, score, bar, weight, vector }, j) => {
      node.classList.toggle("attn-shut", !allowed(i, j));
      score.textContent = number(scores[i][j]);
      bar.style.width = `${100 * weights[i][j]}%`;
      weight.textContent = allowed(i, j) ? weights[i][j].toFixed(2) : "–";
      vector.draw(state.value[j], weights[i][j]);
    });
    sum.total.draw(output[i], 1);
    sum.numbers.forEach((node, c) => {
      node.dataset.output = output[i][c];
      node.textContent = number(output[i][c]);
    });

    const order = columns.map((_, j) => j).filter((j) => allowed(i, j));
    order.sort((a, b) => weights[i][b] - weights[i][a]);
    const named = order.slice(0, 3).flatMap((j, n) => [n ? ", " : "", word(columns[j]), ` ${weights[i][j].toFixed(2)}`]);
    const others = order.slice(3).map((j) => weights[i][j]);
    const rest = sumOf(others).toFixed(2);
    const tail = others.length > 1 ? `; ${others.length} other keys share ${rest}.` : others.length ? `; the other key ${rest}.` : ".";
    sentence.replaceChildren("“", word(rows[i]), "” attends to ", ...named, tail);
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
    mark();
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    const { tokens, key_tokens, query, key, value, selected } = next;
    // Python sets several names at once; until the last has come, they may not fit.
    if (query.length !== tokens.length || key.length !== (key_tokens ?? tokens).length) return;
    if (value.length !== key.length || query[0].length !== key[0].length || selected >= tokens.length) return;
    const same = ["tokens", "key_tokens", "value"].every((name) => next[name] === state?.[name]);
    state = next;
    if (!same) build();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
