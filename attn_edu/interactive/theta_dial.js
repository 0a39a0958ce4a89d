// The theta dial: maps of two layers, mixed across heads by (1 - t) I + t Theta, then normalised.

const average = (row) => sumOf(row) / row.length;

// What takes a list of numbers to mean 0 and variance 1, or nearly: eps is that of re_attention.
function standard(row) {
  const mean = average(row);
  const deviation = Math.sqrt(average(row.map((x) => (x - mean) ** 2)) + 1e-5);
  return (x) => (x - mean) / deviation;
}

// The new maps of one layer: A[n][i][j] are weights, Theta[n][g] is what head n gives to g.
function reattend(A, Theta, t, norm) {
  const part = (n, g) => (1 - t) * (n === g) + t * Theta[n][g];
  const mixed = A.map((_, g) => A[0].map((row, i) => row.map((_, j) => A.reduce((sum, map, n) => sum + part(n, g) * map[i][j], 0))));
  if (norm === "batch") return mixed.map((map) => map.map((row) => row.map(standard(map.flat()))));
  if (norm === "none") return mixed;
  return mixed.map((map) => map.map((row, i) => row.map((x, j) => standard(mixed.map((other) => other[i][j]))(x))));
}

// Mean cosine of two layers' columns; a column of zeros counts as 0.
function likeness([one, two]) {
  const column = (map, j) => map.map((row) => row[j]);
  const cosines = one.flatMap((map, g) =>
    map.map((_, j) => {
      const [a, b] = [column(map, j), column(two[g], j)];
      const [p, q] = [Math.sqrt(dot(a, a)), Math.sqrt(dot(b, b))];
      return p > 1e-9 && q > 1e-9 ? dot(a, b) / (p * q) : 0;
    }),
  );
  return average(cosines);
}

const centre = (map) => {
  const mean = average(map.flat());
  return map.map((row) => row.map((x) => x - mean));
};

function span(values) {
  const [least, most] = [number(Math.min(...values)), number(Math.max(...values))];
  return least === most ? least : `${least} to ${most}`;
}

const percent = (part) => `${Math.round(100 * part)}%`;

function render({ model, el }) {
  const names = ["maps", "Theta", "mixing", "norm", "layers", "caption"];
  const kinds = { none: "none", layer: "layer", batch: "batch" };
  const first = Object.fromEntries(["mixing", "norm"].map((name) => [name, model.get(name)]));
  let state, pictures, matrices;

  const set = setter(model);

  const slider = make("input", "", { type: "range", min: 0, max: 100, step: 1 });
  slider.addEventListener("input", () => set({ mixing: slider.value / 100 }));
  const reading = make("span", "attn-theta-reading", { "aria-hidden": true });
  const pick = choice("Norm", Object.values(kinds), (n) => set({ norm: Object.keys(kinds)[n] }));
  const reset = button("Reset", () => set(first));
  const controls = make(
    "div",
    "attn-controls",
    {},
    make("label", "", {}, make("span", "", {}, "turn Θ"), slider, reading),
    make("div", "attn-theta-norm", {}, make("span", "", { "aria-hidden": true }, "norm"), pick.node),
    reset,
  );
  const body = make("div", "attn-theta-body");
  const scale = [make("span"), make("span")];
  const legend = make("p", "attn-theta-legend", { "aria-hidden": true }, scale[0], make("i"), "0", make("i"), scale[1]);
  const meters = ["similarity", "centred"].map((name) => {
    const [mark, text] = [make("b"), make("span", "attn-theta-number")];
    const axis = make("div", "attn-theta-axis", { "aria-hidden": true }, mark);
    const node = make("div", "attn-theta-meter", {}, make("span", "", {}, name), axis, text);
    return { node, mark, text };
  });
  const gauge = make("div", "attn-theta-gauge", {}, ...meters.map(({ node }) => node));
  const sentence = make("p", "attn-sentence attn-theta-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "Theta dial", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-theta", attributes, controls, body, legend, gauge, sentence, caption);

  function build() {
    const [heads, tokens] = [state.maps[0].length, state.maps[0][0].length];
    figure.style.setProperty("--heads", heads);
    figure.style.setProperty("--tokens", tokens);
    pictures = [];
    matrices = [];
    const sections = state.layers.map((layer) => {
      const shown = Array.from({ length: heads }, (_, g) => {
        const cells = Array.from({ length: tokens * tokens }, () => make("i"));
        const grid = make("div", "attn-theta-map", { role: "img" }, ...cells);
        const text = make("p", "attn-theta-sums");
        pictures.push({ cells, grid, text, what: `${layer}, head ${g + 1}` });
        return make("div", "attn-theta-head", {}, make("p", "attn-theta-name", {}, `head ${g + 1}`), grid, text);
      });
      const entries = Array.from({ length: heads * heads }, () => make("span"));
      const matrix = make("div", "attn-theta-matrix", { role: "img" }, ...entries);
      matrices.push({ entries, matrix, what: layer });
      const title = make("p", "attn-theta-title", {}, word(layer));
      const box = make("div", "attn-theta-box", {}, make("p", "attn-theta-name", {}, "Θ"), matrix);
      return make("div", "attn-theta-layer", {}, title, make("div", "attn-theta-maps", {}, ...shown), box);
    });
    body.replaceChildren(...sections);
  }

  function draw() {
    const { maps, Theta, mixing, norm, layers } = state;
    const made = maps.map((A, l) => reattend(A, Theta[l], mixing, norm));
    const sums = made.map((layer) => layer.map((map) => map.map((row) => sumOf(row))));
    const values = [likeness(made), likeness(made.map((layer) => layer.map(centre)))];
    figure.dataset.state = JSON.stringify({ mixing, norm });
    figure.dataset.maps = JSON.stringify(made);
    figure.dataset.sums = JSON.stringify(sums);
    figure.dataset.similarity = values[0];
    figure.dataset.centred = values[1];

    slider.value = Math.round(100 * mixing);
    reading.textContent = percent(mixing);
    slider.setAttribute("aria-valuetext", `${percent(mixing)} of the way from the identity`);
    pick.show(Object.keys(kinds).indexOf(norm));
    const all = made.flat();
    const most = Math.max(1e-9, ...all.flat(2).map(Math.abs));
    all.forEach((map, p) => {
      const { cells, grid, text, what } = pictures[p];
      const entries = map.flat();
      entries.forEach((x, n) => {
        cells[n].className = x < 0 ? "attn-theta-minus" : "";
        cells[n].style.setProperty("--part", Math.abs(x) / most);
      });
      const rows = sums.flat()[p];
      text.replaceChildren(make("span", "", {}, "rows sum to"), span(rows));
      grid.setAttribute("aria-label", `${what}: entries ${span(entries)}, rows sum to ${span(rows)}`);
    });
    matrices.forEach(({ entries, matrix, what }, l) => {
      const now = Theta[l].map((row, n) => row.map((x, g) => (1 - mixing) * (n === g) + mixing * x));
      now.flat().forEach((x, n) => (entries[n].textContent = number(x)));
      matrix.setAttribute("aria-label", `Θ of ${what}: ${now.map((row) => row.map(number).join(", ")).join("; ")}`);
    });
    scale[0].textContent = number(-most);
    scale[1].textContent = number(most);
    values.forEach((value, n) => {
      meters[n].mark.style.left = `${50 + 50 * value}%`;
      meters[n].text.textContent = number(value);
    });
    const negative = average(all.flat(2).map((x) => Number(x < 0)));
    const how = { none: "no norm", layer: "layer norm", batch: "batch norm" }[norm];
    sentence.replaceChildren(
      `Θ ${percent(mixing)} of the way, ${how}. Similarity of `,
      word(layers[0]),
      " and ",
      word(layers[1]),
      `: ${number(values[0])}, centred ${number(values[1])}. `,
      `Rows sum to ${span(sums.flat(2))}; ${percent(negative)} of the entries are negative.`,
    );
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Python sets several names at once; until the last has come, they may not fit.
    if (next.Theta[0].length !== next.maps[0].length) return;
    const same = state && ["maps", "layers"].every((name) => next[name] === state[name]);
    state = next;
    if (!same) build();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
