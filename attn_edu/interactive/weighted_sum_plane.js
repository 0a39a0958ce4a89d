// A weighted sum in the plane.

function weightedSum({ points, importance }) {
  const total = sumOf(importance);
  const weights = importance.map((a) => a / total);
  const output = [0, 1].map((c) => points.reduce((sum, x, j) => sum + weights[j] * x[c], 0));
  return { weights, output };
}

// Corners of the smallest convex shape around the points: lower side from left to right, upper side back.
function hull(points) {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const turn = (a, b, c) => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
  const side = (row) => {
    const kept = [];
    for (const p of row) {
      while (kept.length > 1 && turn(kept.at(-2), kept.at(-1), p) <= 0) kept.pop();
      kept.push(p);
    }
    return kept;
  };
  return [...side(sorted).slice(0, -1), ...side([...sorted].reverse()).slice(0, -1)];
}

function render({ model, el }) {
  const names = ["points", "importance", "labels", "limits", "caption"];
  const first = { points: model.get("points"), importance: model.get("importance") };
  let state, labels, handles, lines, rows;

  const set = setter(model);

  const grid = svg("g", { class: "attn-grid" });
  const shape = svg("polygon", { class: "attn-hull" });
  const spokes = svg("g", { class: "attn-spokes" });
  const canvas = svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": true });
  canvas.append(grid, shape, spokes);
  const ticks = make("div", "attn-ticks", { "aria-hidden": true });
  const marks = make("div", "attn-marks");
  const output = make("div", "attn-output", { "aria-hidden": true }, make("i"), make("span", "", {}, "output"));
  const plot = make("div", "attn-plot", {}, canvas, ticks, marks, output);
  const table = make("div", "attn-rows");
  const sum = make("p", "attn-formula");
  const sentence = make("p", "attn-sentence", { "aria-live": "polite" });
  const reset = button("Reset", () => set(first.points.length === state.points.length ? first : {}));
  const right = make("div", "attn-right", {}, table, sum, make("div", "attn-controls", {}, reset));
  const body = make("div", "attn-body", {}, plot, right);
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "Weighted sum in the plane", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-plane", attributes, body, sentence, caption);

  // Where a point stands in the plot, as parts of its width and height from the top left.
  const place = ([x, y]) => {
    const [low, high] = state.limits;
    return [(x - low) / (high - low), (high - y) / (high - low)];
  };
  const put = (node, point) => {
    const [left, top] = place(point);
    node.style.left = `${100 * left}%`;
    node.style.top = `${100 * top}%`;
  };

  // Points stand on a grid of 1, 2 or 5 times a power of ten, about a hundredth of an axis: short numbers.
  function move(j, point) {
    const [low, high] = state.limits;
    const part = (high - low) / 100;
    const power = 10 ** Math.floor(Math.log10(part) + 1e-9);
    const step = power * [5, 2, 1].find((n) => n * power <= part * 1.001);
    const snap = (x) => clamp(Number((Math.round(x / step) * step).toPrecision(12)), low, high);
    set({ points: state.points.map((old, k) => (k === j ? point.map(snap) : old)) });
  }

  function weigh(j, amount) {
    const importance = state.importance.map((old, k) => (k === j ? amount : old));
    if (importance.some((a) => a > 0)) return set({ importance });
    draw();
    sentence.textContent = "All importances 0 would leave nothing to divide by. One must stay above 0.";
  }

  function addHandle(j) {
    const role = { role: "slider", tabindex: 0, "aria-roledescription": "point", "aria-valuemin": state.limits[0] };
    const node = make("div", "attn-handle", { ...role, "aria-valuemax": state.limits[1] }, word(labels[j]));
    draggable(node, plot, () => place(state.points[j]), (left, top) => {
      const [low, high] = state.limits;
      move(j, [low + left * (high - low), high - top * (high - low)]);
    });
    return node;
  }

  function addRow(j) {
    const slider = make("input", "", { type: "range", min: 0, max: 10, step: 0.5 });
    slider.setAttribute("aria-label", `Importance of ${labels[j]}`);
    slider.addEventListener("input", () => weigh(j, Number(slider.value)));
    const amount = make("span", "attn-amount", { "aria-hidden": true });
    const bar = make("b");
    const weight = make("span");
    const parts = [word(labels[j]), slider, amount, make("i", "attn-bar", {}, bar), weight];
    return { node: make("div", "attn-line", {}, ...parts), slider, amount, bar, weight };
  }

  function drawGrid() {
    const [low, high] = state.limits;
    const rough = (high - low) / 5;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((n) => n * power >= rough * 0.999);
    grid.replaceChildren();
    ticks.replaceChildren();
    for (let n = Math.ceil(low / step - 1e-9); n <= high / step + 1e-9; n++) {
      const at = (n * step - low) / (high - low);
      const text = String(Number((n * step).toPrecision(6))).replace("-", "−");
      grid.append(svg("line", { x1: at, x2: at, y1: 0, y2: 1 }));
      grid.append(svg("line", { x1: 0, x2: 1, y1: 1 - at, y2: 1 - at }));
      const across = make("span", "attn-across", {}, text);
      const up = make("span", "attn-up", {}, text);
      across.style.left = `${100 * at}%`;
      up.style.bottom = `${100 * at}%`;
      ticks.append(across, up);
    }
  }

  function build() {
    labels = distinct(state.labels);
    handles = labels.map((_, j) => addHandle(j));
    lines = labels.map(() => svg("line"));
    rows = labels.map((_, j) => addRow(j));
    const head = ["input", "importance", "", "weight"].map((text) => make("span", "", {}, text));
    marks.replaceChildren(...handles);
    spokes.replaceChildren(...lines);
    table.replaceChildren(make("div", "attn-line attn-names", { "aria-hidden": true }, ...head), ...rows.map((row) => row.node));
    figure.style.setProperty("--lines", Math.ceil((labels.length + 1) / 2));
    drawGrid();
  }

  // Say in words what the weights make of the inputs.
  function remark(weights) {
    const on = weights.flatMap((w, j) => (w > 0 ? [word(labels[j])] : []));
    if (on.length === 1) return ["All the weight is on ", on[0], ", so the output copies it."];
    if (new Set(weights).size === 1) return ["All weights are equal: the output is the plain mean."];
    if (on.length === 2) return ["Only ", on[0], " and ", on[1], " have weight: the output lies on the line between them."];
    return [`The output is an average of ${on.length} inputs.`];
  }

  function draw() {
    const { weights, output: y } = weightedSum(state);
    const corners = hull(state.points);
    figure.dataset.output = JSON.stringify(y);
    figure.dataset.weights = JSON.stringify(weights);
    figure.dataset.points = JSON.stringify(state.points);
    figure.dataset.hull = JSON.stringify(corners);
    shape.setAttribute("points", corners.map((point) => place(point).join(",")).join(" "));
    put(output, y);
    const far = state.points.map((point) => Math.hypot(point[0] - y[0], point[1] - y[1]));
    const nearest = state.points[far.indexOf(Math.min(...far))];
    output.classList.toggle("attn-high", nearest[1] < y[1] - 1e-9);
    const [x2, y2] = place(y);
    state.points.forEach((point, j) => {
      const [x1, y1] = place(point);
      for (const [name, value] of Object.entries({ x1, y1, x2, y2 })) lines[j].setAttribute(name, value);
      lines[j].style.strokeWidth = `${10 * weights[j]}px`;
      put(handles[j], point);
      // The name stands away from the output, and inside the plot.
      handles[j].classList.toggle("attn-low", y1 < 0.12 || (y1 > y2 && y1 < 0.88));
      handles[j].setAttribute("aria-label", `Input ${labels[j]}, moved by arrow keys`);
      handles[j].setAttribute("aria-valuenow", point[0]);
      handles[j].setAttribute("aria-valuetext", `${labels[j]} at ${pair(point)}`);
      const { slider, amount, bar, weight } = rows[j];
      slider.value = state.importance[j];
      slider.setAttribute("aria-valuetext", `importance ${number(state.importance[j])}, weight ${weights[j].toFixed(2)}`);
      amount.textContent = String(Number(state.importance[j].toFixed(2)));
      bar.style.width = `${100 * weights[j]}%`;
      weight.textContent = weights[j].toFixed(2);
    });
    const terms = state.points.flatMap((point, j) => [
      make("span", weights[j] ? "" : "attn-none", {}, `${j ? "+ " : ""}${weights[j].toFixed(2)}·${pair(point)}`),
      " ",
    ]);
    sum.replaceChildren(...terms, make("strong", "", {}, `= ${pair(y)}`));
    sentence.replaceChildren(`The output is ${pair(y)}. `, ...remark(weights));
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Python sets several names at once; until the last has come, they may not fit.
    if (next.importance.length !== next.points.length || next.labels.length !== next.points.length) return;
    const same = next.labels === state?.labels && String(next.limits) === String(state.limits);
    state = next;
    if (!same) build();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
