// Sparse patterns and their reach. Places count from 0; a mask is an array of rows, true where query i sees key j.

const PATTERNS = { window: "Sliding window", dilated: "Dilated window", strided: "Strided", fixed: "Fixed", global: "Global and window" };

// One mask, or two that layers take in turn.
function masksOf({ pattern, length, window, dilation, stride, summary, places, causal, in_turn }) {
  const mask = (sees) => Array.from({ length }, (_, i) => Array.from({ length }, (_, j) => sees(i, j)));
  const near = (i, j) => Math.abs(i - j) <= window;
  if (pattern === "window") return [mask((i, j) => near(i, j) && !(causal && j > i))];
  if (pattern === "dilated")
    return [mask((i, j) => (i - j) % dilation === 0 && Math.abs(i - j) <= window * dilation && !(causal && j > i))];
  if (pattern === "global") return [mask((i, j) => near(i, j) || i < places || j < places)];
  const block = (i) => Math.floor(i / stride);
  const [local, far] =
    pattern === "strided"
      ? [(i, j) => j <= i && i - j <= stride, (i, j) => j <= i && (i - j) % stride === 0]
      : [(i, j) => j <= i && block(i) === block(j), (i, j) => j <= i && j % stride >= stride - summary];
  return in_turn ? [mask(local), mask(far)] : [mask((i, j) => local(i, j) || far(i, j))];
}

// Rows of truth values as whole numbers: bit j of row i says whether output i depends on input j.
const nothing = (length) => Array.from({ length }, (_, i) => 1n << BigInt(i));
const onTop = (mask, below) => mask.map((row, i) => row.reduce((bits, sees, j) => (sees ? bits | below[j] : bits), below[i]));
const layer = (masks, n) => masks[n % masks.length];

// steps[i][j]: the first layer after which i depends on j, 0 for its own place, null if not within n layers.
function stepsOf(masks, n) {
  let bits = nothing(masks[0].length);
  const steps = bits.map((_, i) => bits.map((_, j) => (i === j ? 0 : null)));
  for (let k = 1; k <= n; k++) {
    bits = onTop(layer(masks, k - 1), bits);
    steps.forEach((row, i) => row.forEach((step, j) => (row[j] = step ?? ((bits[i] >> BigInt(j)) & 1n ? k : null))));
  }
  return steps;
}

const ahead = (masks) => masks.some((mask) => mask.some((row, i) => row.some((sees, j) => sees && j > i)));

function neededOf(masks) {
  const length = masks[0].length;
  const wanted = masks[0].map((_, i) => (1n << BigInt(ahead(masks) ? length : i + 1)) - 1n);
  let [bits, n, idle] = [nothing(length), 0, 0];
  while (bits.some((row, i) => (row & wanted[i]) !== wanted[i])) {
    const next = onTop(layer(masks, n), bits);
    n += 1;
    idle = next.every((row, i) => row === bits[i]) ? idle + 1 : 0;
    if (idle === masks.length) return null;
    bits = next;
  }
  return n;
}

function render({ model, el }) {
  const numbers = ["window", "dilation", "stride", "summary", "places", "layers", "query"];
  const moved = ["pattern", "causal", "in_turn", ...numbers];
  const names = ["length", ...moved, "caption"];
  const first = Object.fromEntries(moved.map((name) => [name, model.get(name)]));
  let state;

  const set = setter(model);

  const slider = (name, text) => {
    const input = make("input", "", { type: "range", step: 1, "aria-label": text });
    const read = make("output", "attn-pr-read", { "aria-hidden": true });
    const said = make("span", "", {}, text);
    input.addEventListener("input", () => {
      const value = Number(input.value);
      // A summary is no longer than its block.
      set(name === "stride" ? { stride: value, summary: Math.min(value, state.summary) } : { [name]: value });
    });
    return { name, input, read, said, node: make("label", "", {}, said, input, read) };
  };
  const sliders = [slider("window", "window"), slider("dilation", "dilation"), slider("stride", "stride l"), slider("summary", "summary c"), slider("places", "global places")];
  const always = [slider("layers", "layers"), slider("query", "query")];
  const tick = (name, text) => {
    const input = make("input", "", { type: "checkbox" });
    input.addEventListener("change", () => set({ [name]: input.checked }));
    return { name, input, node: make("label", "", {}, input, make("span", "", {}, text)) };
  };
  const ticks = [tick("causal", "causal"), tick("in_turn", "parts in turn")];
  const form = choice("Pattern", Object.keys(PATTERNS), (n) => set({ pattern: Object.keys(PATTERNS)[n] }));
  const reset = button("Reset", () => set(first));
  const controls = make("div", "attn-controls", {}, form.node, ...ticks.map(({ node }) => node), reset);
  const numbersRow = make("div", "attn-controls attn-pr-sliders", {}, ...[...sliders, ...always].map(({ node }) => node));

  function panel() {
    const title = make("p", "attn-pr-title");
    const ground = svg("path", { class: "attn-pr-ground" });
    const cells = svg("g", {});
    const row = svg("rect", { class: "attn-pr-row", x: 0, height: 1 });
    const picture = svg("svg", { role: "img" });
    picture.append(ground, cells, row);
    picture.addEventListener("click", (event) => {
      const box = picture.getBoundingClientRect();
      const i = Math.floor(((event.clientY - box.top) / box.height) * state.length);
      set({ query: clamp(i, 0, state.length - 1) });
    });
    return { title, picture, ground, cells, row, node: make("div", "attn-pr-panel", {}, title, picture) };
  }
  const [sees, reaches] = [panel(), panel()];
  const body = make("div", "attn-pr-body", {}, sees.node, reaches.node);
  const legend = make("p", "attn-pr-legend");
  const sentence = make("p", "attn-pr-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "Patterns and their reach", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-pr", attributes, controls, numbersRow, body, legend, sentence, caption);

  // Squares of a side, one path for all of them.
  const squares = (where, side) => {
    const edge = (1 - side) / 2;
    const each = where.map(([i, j]) => `M${j + edge} ${i + edge}h${side}v${side}h${-side}z`);
    return each.join("");
  };
  const truths = (rows) => rows.flatMap((row, i) => row.flatMap((on, j) => (on ? [[i, j]] : [])));

  function draw() {
    const { length, pattern, layers, query } = state;
    const masks = masksOf(state);
    const steps = stepsOf(masks, layers);
    const needed = neededOf(masks);
    const pairs = masks.map((mask) => mask.flat().filter(Boolean).length);
    const whole = !ahead(masks);
    const full = whole ? (length * (length + 1)) / 2 : length ** 2;
    figure.dataset.state = JSON.stringify(Object.fromEntries(moved.map((name) => [name, state[name]])));
    for (const [name, value] of Object.entries({ masks: masks.map((mask) => mask.map((row) => row.map(Number))), steps, needed, pairs, full }))
      figure.dataset[name] = JSON.stringify(value);

    form.show(Object.keys(PATTERNS).indexOf(pattern));
    const uses = { window: ["window"], dilated: ["window", "dilation"], strided: ["stride"], fixed: ["stride", "summary"], global: ["window", "places"] }[pattern];
    const most = { window: length, dilation: 9, stride: length, summary: state.stride, places: 6, layers: 12, query: length - 1 };
    for (const { name, input, read, said, node } of [...sliders, ...always]) {
      if (name === "stride") {
        said.textContent = pattern === "fixed" ? "block l" : "stride l";
        input.setAttribute("aria-label", said.textContent);
      }
      node.hidden = !uses.includes(name) && !["layers", "query"].includes(name);
      input.min = name === "query" ? 0 : 1;
      input.max = Math.max(most[name], state[name]);
      input.value = state[name];
      read.textContent = state[name];
    }
    for (const { name, input, node } of ticks) {
      node.hidden = name === "causal" ? !["window", "dilated"].includes(pattern) : !["strided", "fixed"].includes(pattern);
      input.checked = state[name];
    }

    for (const { picture, ground, row } of [sees, reaches]) {
      picture.setAttribute("viewBox", `0 0 ${length} ${length}`);
      const stairs = Array.from({ length }, (_, i) => `H${whole ? i + 1 : length}V${i + 1}`);
      ground.setAttribute("d", `M0 0${stairs.join("")}H0z`);
      row.setAttribute("y", query);
      row.setAttribute("width", length);
    }
    sees.cells.replaceChildren(...masks.map((mask, n) => svg("path", { class: `attn-pr-part-${n + 1}`, d: squares(truths(mask), n ? 0.5 : 0.92) })));
    // The later a place is reached, the paler; its own place needs no layer and is drawn as if it needed one.
    const levels = Array.from({ length: layers }, (_, k) => truths(steps.map((row) => row.map((step) => step !== null && Math.max(step, 1) === k + 1))));
    reaches.cells.replaceChildren(
      ...levels.map((where, k) => svg("path", { class: "attn-pr-reached", "fill-opacity": Math.max(0.66 ** k, 0.16).toFixed(2), d: squares(where, 0.92) })),
    );

    const counts = pairs.map(grouped).join(" and ");
    const shares = pairs.map((count) => `${(Math.floor((2000 * count + full) / (2 * full)) / 10).toFixed(1)} %`).join(" and ");
    const turn = pairs.length > 1 ? "Layers in turn score" : "Each layer scores";
    const able = whole ? query + 1 : length;
    const seen = steps[query].filter((step) => step !== null).length;
    const deep = `${layers} layer${layers > 1 ? "s" : ""}`;
    const end = needed === null ? "No number of layers reaches all." : `Every place reaches ${whole ? "all before it" : "all"} after ${needed} layer${needed > 1 ? "s" : ""}.`;
    sees.title.textContent = `Scored: ${counts} of ${grouped(full)}`;
    reaches.title.textContent = `Reached after ${deep}: ${seen} of ${able}`;
    sees.picture.setAttribute("aria-label", `Pattern. Query ${query} sees the places ${masks.map((mask) => truths([mask[query]]).map(([, j]) => j).join(" ") || "none").join("; in the next layer ")}.`);
    reaches.picture.setAttribute("aria-label", `Reach. Query ${query} reaches the places ${truths([steps[query].map((step) => step !== null)]).map(([, j]) => j).join(" ")}.`);
    legend.textContent =
      "Rows are queries, columns are keys; the framed row is the chosen query. " +
      (pairs.length > 1 ? "Scored: squares in odd layers, dots in even ones. " : "") +
      "Reached: the paler, the more layers it takes.";
    sentence.textContent =
      `${PATTERNS[pattern]}. ${turn} ${counts} of ${grouped(full)} pairs (${shares}). After ${deep} query ${query} ` +
      `reaches ${seen} of ${able} place${able > 1 ? "s" : ""}. ${end}`;
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Several names are set one after the other; until the last has come, they may not fit.
    if (next.query >= next.length || next.summary > next.stride) return;
    state = next;
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
