// One row of local attention: softmax in a window, times a Gaussian.

function look({ scores, p, D, gaussian }) {
  const seen = scores.map((_, s) => s).filter((s) => Math.abs(s - p) <= D);
  const inside = softmax(seen.map((s) => scores[s]), 1);
  const spread = scores.map(() => 0);
  seen.forEach((s, n) => (spread[s] = inside[n]));
  const bell = (s) => (gaussian ? Math.exp(-2 * ((s - p) / D) ** 2) : 1);
  return { seen, spread, bell, weights: spread.map((x, s) => x * bell(s)) };
}

function render({ model, el }) {
  const names = ["scores", "p", "D", "gaussian", "labels", "caption"];
  const first = Object.fromEntries(["p", "D", "gaussian"].map((name) => [name, model.get(name)]));
  const set = setter(model);
  let state, columns;

  const range = (text, step, tell) => {
    const input = make("input", "", { type: "range", step });
    const reading = make("span", "attn-lw-reading", { "aria-hidden": true });
    input.addEventListener("input", () => tell(Number(input.value)));
    return { input, reading, node: make("label", "", {}, text, input, reading) };
  };
  const place = range("Place p", 0.1, (p) => set({ p }));
  const half = range("D", 1, (D) => set({ D }));
  const box = make("input", "", { type: "checkbox" });
  box.addEventListener("change", () => set({ gaussian: box.checked }));
  const reset = button("Reset", () => set(first));
  const controls = make("div", "attn-controls", {}, place.node, half.node, make("label", "", {}, box, "Gaussian"), reset);

  const frame = make("div", "attn-lw-window");
  const curve = svg("path");
  const canvas = svg("svg", { preserveAspectRatio: "none" }, curve);
  const needle = make("div", "attn-lw-needle");
  const row = make("div", "attn-lw-row");
  const chart = make("div", "attn-lw-chart", { "aria-hidden": true }, frame, row, canvas, needle);
  const kept = make("b");
  const share = make("span");
  const gone = make("span");
  const sum = make("div", "attn-lw-sum", { "aria-hidden": true }, kept, share, gone);
  const sentence = make("p", "attn-lw-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "One row of local attention", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-lw", attributes, controls, chart, sum, sentence, caption);

  function build() {
    columns = state.labels.map((label) => {
      const pale = make("i");
      const dark = make("b");
      const value = make("span");
      const node = make("div", "", {}, make("div", "", {}, pale, dark, value), word(label));
      return { node, pale, dark, value };
    });
    row.replaceChildren(...columns.map((column) => column.node));
  }

  function draw() {
    const { p, D, gaussian, scores } = state;
    const S = scores.length;
    const { seen, spread, bell, weights } = look(state);
    const total = sumOf(weights);
    for (const [name, data] of Object.entries({ softmax: spread, weights, p, d: D, gaussian, total })) {
      figure.dataset[name] = JSON.stringify(data);
    }
    place.input.max = S;
    half.input.min = 1;
    half.input.max = Math.min(S, 6);
    place.input.value = p;
    half.input.value = D;
    place.reading.textContent = p.toFixed(1);
    half.reading.textContent = D;
    box.checked = gaussian;
    // Place s has its middle at s + 0.5 of the chart's S columns.
    const across = (x) => (100 * clamp(x + 0.5, 0, S)) / S;
    frame.style.left = `${across(p - D)}%`;
    frame.style.width = `${across(p + D) - across(p - D)}%`;
    needle.style.left = `${across(p)}%`;
    const top = 1.3 * Math.max(...spread);
    columns.forEach(({ pale, dark, value }, s) => {
      pale.style.height = `${(100 * spread[s]) / top}%`;
      dark.style.height = `${(100 * weights[s]) / top}%`;
      value.textContent = seen.includes(s) ? weights[s].toFixed(2) : "";
      value.style.bottom = pale.style.height;
    });
    canvas.setAttribute("viewBox", `0 0 ${S} 1`);
    const steps = Array.from({ length: 81 }, (_, n) => p - D + (n * D) / 40).filter((x) => x >= -0.5 && x <= S - 0.5);
    const line = steps.map((x) => `${x + 0.5} ${1 - bell(x) / 1.05}`);
    curve.setAttribute("d", gaussian ? `M ${line.join(" L ")}` : "");
    kept.style.width = `${100 * total}%`;
    share.textContent = `sum ${total.toFixed(2)}`;
    gone.textContent = gaussian ? `missing ${(1 - total).toFixed(2)}` : "";
    const last = seen[seen.length - 1];
    const which = seen.length === 1 ? `place ${last}` : `${seen.length} places, ${seen[0]} to ${last}`;
    const taken = gaussian ? `the Gaussian took ${(1 - total).toFixed(2)}` : "there is no Gaussian";
    sentence.textContent =
      `Looking at ${p.toFixed(1)} with D = ${D}: ${which}, in the window. ` +
      `The weights sum to ${total.toFixed(2)}; ${taken}.`;
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    if (next.labels.length !== next.scores.length) return; // Python has not set both yet
    const same = state && next.labels === state.labels;
    state = next;
    if (!same) build();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
