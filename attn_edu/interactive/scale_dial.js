// The scale dial: one query's scores, weights and slopes at a width.

function dial({ products, widths, width, divide, temperature }) {
  const divisor = (divide ? Math.sqrt(width) : 1) * temperature;
  const scores = products[widths.indexOf(width)].map((product) => product / divisor);
  const weights = softmax(scores, 1);
  const slopes = weights.map((w) => w * (1 - w));
  return { divisor, scores, weights, slopes };
}

// Three decimals, or the power of ten where these would be lost.
function brief(x) {
  if (x >= 0.0005) return x.toFixed(3);
  return x ? x.toExponential(0).replace("-", "−") : "0";
}

const short = (x) => String(Number(x.toPrecision(3)));

function render({ model, el }) {
  const names = ["products", "widths", "key_tokens", "width", "divide", "temperature", "caption"];
  const first = Object.fromEntries(["width", "divide", "temperature"].map((name) => [name, model.get(name)]));
  let state, keys, rows, reach;

  const set = setter(model);

  const range = (attributes, tell) => {
    const slider = make("input", "", { type: "range", ...attributes });
    slider.addEventListener("input", () => tell(Number(slider.value)));
    return [slider, make("span", "attn-reading", { "aria-hidden": true })];
  };
  const [size, sizeRead] = range({ min: 0, step: 1 }, (n) => set({ width: state.widths[n] }));
  // Half powers of two: among them every √d_k of a power of two up to 1024.
  const [heat, heatRead] = range({ min: -6, max: 10, step: 1 }, (n) => set({ temperature: 2 ** (n / 2) }));
  const box = make("input", "", { type: "checkbox" });
  box.addEventListener("change", () => set({ divide: box.checked }));
  const reset = button("Reset", () => state.widths.includes(first.width) && set(first));
  const subscript = () => make("span", "", {}, "d", make("sub", "", {}, "k"));
  const controls = make(
    "div",
    "attn-controls",
    {},
    make("label", "", {}, make("span", "attn-name", {}, "width ", subscript()), size, sizeRead),
    make("label", "", {}, box, make("span", "", {}, "divide by √", subscript())),
    make("label", "", {}, make("span", "attn-name", {}, "temperature T"), heat, heatRead),
    reset,
  );
  const body = make("div", "attn-rows", { role: "table", "aria-label": "A row for each key" });
  const sentence = make("p", "attn-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "Scale dial", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-dial", attributes, controls, body, sentence, caption);

  // Where a score stands on its axis: even steps near 0, ever larger ones away from it.
  const place = (score) => 50 + 50 * clamp(Math.asinh(score) / Math.asinh(reach), -1, 1);

  function addRow(j) {
    const [dot, weightBar, slopeBar] = [make("b"), make("b"), make("b")];
    const [score, weight, slope] = [make("span"), make("span"), make("span")];
    const cell = (kind, mark, text) => make("div", "attn-cell", { role: "cell" }, make("i", kind, {}, mark), text);
    const node = make(
      "div",
      "attn-line",
      { role: "row" },
      make("div", "attn-key", { role: "rowheader" }, word(keys[j])),
      cell("attn-axis", dot, score),
      cell("attn-bar", weightBar, weight),
      cell("attn-bar attn-slope", slopeBar, slope),
    );
    return { node, dot, weightBar, slopeBar, score, weight, slope };
  }

  function build() {
    keys = distinct(state.key_tokens);
    reach = Math.max(1, ...state.products.flat().map(Math.abs));
    rows = keys.map((_, j) => addRow(j));
    const head = ["key", "score", "weight", "slope, at most ¼"].map((text) => make("div", "", { role: "columnheader" }, text));
    const marks = [-10, 0, 10].filter((x) => Math.abs(x) < reach);
    const scale = make("i", "attn-axis attn-scale", { "aria-hidden": true });
    for (const x of marks) {
      const tick = make("span", "", {}, String(x).replace("-", "−"));
      tick.style.left = `${place(x)}%`;
      scale.append(tick);
    }
    head[1].append(scale);
    const lines = marks.map((x) => `linear-gradient(var(--attn-line), var(--attn-line)) ${place(x)}% 0 / 1px 100% no-repeat`);
    figure.style.setProperty("--marks", lines.join(", "));
    size.max = state.widths.length - 1;
    body.replaceChildren(make("div", "attn-line attn-names", { role: "row" }, ...head), ...rows.map((row) => row.node));
  }

  function remark(total, top) {
    if (total < 0.01) return "Hardly any score can still move the weights.";
    if (total > 0.98 * (1 - 1 / keys.length)) return "The weights are nearly those of a plain mean.";
    return top > 0.9 ? "One key has nearly everything." : "";
  }

  function draw() {
    const { divisor, scores, weights, slopes } = dial(state);
    const total = sumOf(slopes);
    figure.dataset.state = JSON.stringify({ width: state.width, divide: state.divide, temperature: state.temperature });
    for (const [name, value] of Object.entries({ scores, weights, slopes, total })) figure.dataset[name] = JSON.stringify(value);

    size.value = state.widths.indexOf(state.width);
    size.setAttribute("aria-valuetext", state.width);
    sizeRead.textContent = state.width;
    heat.value = clamp(Math.round(2 * Math.log2(state.temperature)), -6, 10);
    heatRead.textContent = short(state.temperature);
    heat.setAttribute("aria-valuetext", heatRead.textContent);
    box.checked = state.divide;

    rows.forEach(({ dot, weightBar, slopeBar, score, weight, slope }, j) => {
      dot.style.left = `${place(scores[j])}%`;
      weightBar.style.width = `${100 * weights[j]}%`;
      slopeBar.style.width = `${400 * slopes[j]}%`;
      score.textContent = number(scores[j]);
      weight.textContent = weights[j].toFixed(2);
      slope.textContent = brief(slopes[j]);
    });
    const best = weights.indexOf(Math.max(...weights));
    const name = make("span", "attn-key", {}, word(keys[best]));
    sentence.replaceChildren(
      `Width ${state.width}, dot products ${divisor === 1 ? "not divided" : `divided by ${short(divisor)}`}. `,
      name,
      ` has ${weights[best].toFixed(2)} of the weight. The slopes add up to ${brief(total)}. `,
      remark(total, weights[best]),
    );
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Python sets several names at once; until the last has come, they may not fit.
    if (next.products.length !== next.widths.length || next.key_tokens.length !== next.products[0].length) return;
    if (!next.widths.includes(next.width)) return;
    const same = ["products", "widths", "key_tokens"].every((name) => next[name] === state?.[name]);
    state = next;
    if (!same) build();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
