// The soft dictionary in the plane.

function lookUp({ key, value, query, temperature, hard }) {
  const scores = key.map((k) => dot(query, k));
  const best = scores.map((score) => Number(score === Math.max(...scores)));
  const ties = sumOf(best);
  const weights = hard ? best.map((one) => one / ties) : softmax(scores, temperature);
  return { scores, weights, output: dot(weights, value) };
}

function render({ model, el }) {
  const names = ["key", "value", "labels", "query", "temperature", "hard", "features", "caption"];
  const first = Object.fromEntries(["query", "temperature", "hard"].map((name) => [name, model.get(name)]));
  let reach = 0; // the plane goes from −reach to reach in both directions
  let state, labels, points, feet, rows, stops;

  const set = setter(model);
  const slider = make("input", "", { type: "range", min: -1, max: 1, step: 0.05 });
  slider.addEventListener("input", () => set({ temperature: Number((10 ** slider.value).toPrecision(3)) }));
  const reading = make("span", "attn-reading", { "aria-hidden": true });
  const box = make("input", "", { type: "checkbox" });
  box.addEventListener("change", () => set({ hard: box.checked }));
  const reset = button("Reset", () => set(first));
  const heat = make("label", "", {}, "Temperature", slider, reading);
  const controls = make("div", "attn-controls", {}, heat, make("label", "", {}, box, "Hard lookup"), reset);

  const grid = svg("g", { class: "attn-grid" });
  const ray = svg("line", { class: "attn-ray" });
  const arrow = svg("line", { class: "attn-arrow" });
  const drops = svg("g", { class: "attn-drops" });
  const canvas = svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": true });
  canvas.append(grid, ray, drops, arrow);
  const ticks = make("div", "attn-ticks", { "aria-hidden": true });
  const marks = make("div", "attn-marks", { "aria-hidden": true });
  const role = { role: "slider", tabindex: 0, "aria-roledescription": "point", "aria-label": "Query, moved by arrow keys" };
  const handle = make("div", "attn-handle", role, make("bdi", "", {}, "query"));
  const plot = make("div", "attn-plot", {}, canvas, ticks, marks, handle);

  const table = make("div", "attn-rows");
  const sum = make("p", "attn-formula");
  const scale = make("div", "attn-scale", { "aria-hidden": true });
  const answer = make("i");
  const right = make("div", "attn-right", {}, table, sum, scale);
  const body = make("div", "attn-body", {}, plot, right);
  const sentence = make("p", "attn-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "Soft lookup in the plane", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-plane attn-lookup", attributes, controls, body, sentence, caption);

  const place = ([x, y]) => [0.5 + x / (2 * reach), 0.5 - y / (2 * reach)];
  const put = (node, point) => {
    const [left, top] = place(point);
    node.style.left = `${100 * left}%`;
    node.style.top = `${100 * top}%`;
  };

  // Steps of a hundredth of the plane keep the numbers short.
  function move(left, top) {
    const step = reach / 50;
    const snap = (x) => Number((Math.round(clamp(x, -reach, reach) / step) * step).toPrecision(12)) || 0;
    set({ query: [snap((2 * left - 1) * reach), snap((1 - 2 * top) * reach)] });
  }
  draggable(handle, plot, () => place(state.query), move);
  plot.addEventListener("click", (event) => {
    if (event.target.closest(".attn-handle")) return;
    const area = plot.getBoundingClientRect();
    move((event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height);
  });

  function drawGrid() {
    const rough = reach / 3;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((n) => n * power >= rough * 0.999);
    grid.replaceChildren();
    ticks.replaceChildren(
      make("span", "attn-axis attn-axis-x", {}, `${state.features[0]} →`),
      make("span", "attn-axis attn-axis-y", {}, `${state.features[1]} →`),
    );
    const most = Math.floor(reach / step + 1e-9);
    for (let n = -most; n <= most; n++) {
      const at = 0.5 + (n * step) / (2 * reach);
      const strong = n ? "" : "attn-zero";
      grid.append(svg("line", { x1: at, x2: at, y1: 0, y2: 1, class: strong }));
      grid.append(svg("line", { x1: 0, x2: 1, y1: 1 - at, y2: 1 - at, class: strong }));
      const text = String(Number((n * step).toPrecision(6))).replace("-", "−");
      const across = make("span", "attn-across", {}, text);
      const up = make("span", "attn-up", {}, text);
      across.style.left = `${100 * at}%`;
      up.style.bottom = `${100 * at}%`;
      ticks.append(across, up);
    }
    handle.setAttribute("aria-valuemin", -reach);
    handle.setAttribute("aria-valuemax", reach);
  }

  function addRow(name, j) {
    const score = make("span", "attn-score");
    const bar = make("b");
    const weight = make("span");
    const value = make("span", "attn-value", {}, number(state.value[j]));
    const cells = [word(name), score, make("i", "attn-bar", {}, bar), weight, value];
    cells.forEach((cell, n) => n !== 2 && cell.setAttribute("role", n ? "cell" : "rowheader"));
    cells[2].setAttribute("aria-hidden", true);
    return { node: make("div", "attn-line", { role: "row" }, ...cells), score, bar, weight };
  }

  function build() {
    labels = distinct(state.labels);
    points = labels.map((name) => make("div", "attn-point", {}, make("i"), word(name)));
    feet = labels.map(() => svg("line"));
    rows = labels.map(addRow);
    const head = ["key", "score", "weight", "value"].map((text) => make("span", "", { role: "columnheader" }, text));
    table.setAttribute("role", "table");
    table.setAttribute("aria-label", "Scores, weights and values");
    table.replaceChildren(make("div", "attn-line attn-names", { role: "row" }, ...head), ...rows.map((row) => row.node));
    marks.replaceChildren(...points);
    drops.replaceChildren(...feet);
    state.key.forEach((key, j) => {
      put(points[j], key);
      points[j].style.setProperty("--left", place(key)[0]); // a name at the edge leans inwards
    });
    figure.style.setProperty("--lines", Math.ceil((labels.length + 1) / 3));
    // The values on a line, with the answer among them.
    const low = Math.min(...state.value);
    const span = Math.max(...state.value) - low || 1;
    stops = (value) => (100 * (value - low)) / span;
    scale.replaceChildren(
      ...[...new Set(state.value)].map((value) => {
        const stop = make("span", "", {}, number(value).replace(/\.00?$/, ""));
        stop.style.left = `${stops(value)}%`;
        return stop;
      }),
      answer,
    );
  }

  function remark(weights, output) {
    const order = labels.map((_, j) => j).sort((a, b) => weights[b] - weights[a]);
    const on = order.filter((j) => weights[j] > 0);
    const list = on.flatMap((j, n) => [n ? ", " : "", word(labels[j]), ` ${weights[j].toFixed(2)}`]);
    const asked = `The query ${pair(state.query)} finds ${number(output)}`;
    if (!state.hard) return [`${asked}: `, ...list, "."];
    if (on.length === 1) return [`${asked}, the value of the best key, `, word(labels[on[0]]), "."];
    return [`${asked}: ${on.length} keys tie for best and share the weight.`];
  }

  function draw() {
    const { scores, weights, output } = lookUp(state);
    for (const [name, data] of Object.entries({ scores, weights, output, query: state.query, temperature: state.temperature })) {
      figure.dataset[name] = JSON.stringify(data);
    }
    figure.dataset.hard = state.hard;
    slider.value = clamp(Math.log10(state.temperature), -1, 1);
    slider.disabled = state.hard;
    reading.textContent = number(state.temperature);
    slider.setAttribute("aria-valuetext", reading.textContent);
    box.checked = state.hard;

    const [x, y] = place(state.query);
    const length = Math.hypot(...state.query);
    const unit = length ? state.query.map((q) => q / length) : [0, 0];
    const line = (node, from, to) => {
      const [[x1, y1], [x2, y2]] = [from, to].map(place);
      for (const [name, value] of Object.entries({ x1, y1, x2, y2 })) node.setAttribute(name, value);
    };
    line(ray, unit.map((u) => -3 * reach * u), unit.map((u) => 3 * reach * u));
    line(arrow, [0, 0], state.query);
    put(handle, state.query);
    handle.classList.toggle("attn-low", y >= 0.5 ? y < 0.88 : y < 0.12);
    handle.setAttribute("aria-valuenow", state.query[0]);
    handle.setAttribute("aria-valuetext", `query at ${pair(state.query)}, answer ${number(output)}`);

    state.key.forEach((key, j) => {
      const along = dot(key, unit);
      line(feet[j], key, length ? unit.map((u) => along * u) : key);
      points[j].style.setProperty("--size", `${8 + 22 * Math.sqrt(weights[j])}px`);
      const [left, top] = place(key);
      // Names keep off the query's handle.
      points[j].classList.toggle("attn-low", (y < top && Math.abs(left - x) < 0.2 && top < 0.9) || top < 0.1);
      const { score, bar, weight } = rows[j];
      score.textContent = number(scores[j]);
      bar.style.width = `${100 * weights[j]}%`;
      weight.textContent = weights[j].toFixed(2);
    });
    const terms = state.value.flatMap((value, j) => [
      make("span", weights[j] ? "" : "attn-none", {}, `${j ? "+ " : ""}${weights[j].toFixed(2)}·${number(value)}`),
      " ",
    ]);
    sum.replaceChildren(...terms, make("strong", "", {}, `= ${number(output)}`));
    answer.style.left = `${stops(output)}%`;
    sentence.replaceChildren(...remark(weights, output));
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Python sets several names at once; until the last has come, they may not fit.
    if (next.value.length !== next.key.length || next.labels.length !== next.key.length) return;
    const same = ["key", "value", "labels", "features"].every((name) => next[name] === state?.[name]);
    const needed = Math.ceil(Math.max(1, ...next.key.flat().map(Math.abs), ...next.query.map(Math.abs)));
    const wider = needed > reach;
    state = next;
    reach = Math.max(reach, needed);
    if (!same || wider) {
      drawGrid();
      build();
    }
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
