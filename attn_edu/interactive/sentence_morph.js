// The sentence that morphs from one reading to the other.

const rowTimes = (row, matrix) => matrix[0].map((_, c) => row.reduce((sum, r, i) => sum + r * matrix[i][c], 0));

// Multi-head self-attention for one query, the word at a place: its output, and its weights by head and place.
function attendFrom(words, place, { W_Q, W_K, W_V, W_O, heads }) {
  const query = rowTimes(words[place], W_Q);
  const keys = words.map((row) => rowTimes(row, W_K));
  const values = words.map((row) => rowTimes(row, W_V));
  const width = query.length / heads;
  const part = values[0].length / heads;
  const weights = [];
  const joined = [];
  for (let n = 0; n < heads; n++) {
    const cut = (row) => row.slice(n * width, (n + 1) * width);
    const row = softmax(keys.map((key) => dot(cut(query), cut(key))), Math.sqrt(width));
    weights.push(row);
    for (let c = n * part; c < (n + 1) * part; c++) joined.push(dot(row, values.map((value) => value[c])));
  }
  return { output: rowTimes(joined, W_O), weights };
}

// Both readings; the weights go back to the words that they belong to.
function readBoth(state) {
  const outputs = [];
  const weights = [];
  for (const order of [state.tokens.map((_, i) => i), state.order]) {
    const words = order.map((word, p) => state.x[word].map((a, c) => a + (state.placed ? state.positions[p][c] : 0)));
    const found = attendFrom(words, order.indexOf(state.selected), state);
    outputs.push(found.output);
    weights.push(found.weights.map((row) => state.tokens.map((_, word) => row[order.indexOf(word)])));
  }
  return { outputs, weights };
}

function render({ model, el }) {
  const names = ["tokens", "x", "order", "W_Q", "W_K", "W_V", "W_O", "heads", "positions", "selected", "swapped", "placed", "caption"];
  const moved = ["heads", "selected", "swapped", "placed"];
  const first = Object.fromEntries(moved.map((name) => [name, model.get(name)]));
  const group = `attn-heads-${Math.random().toString(36).slice(2)}`;
  let state, labels, cards, before;

  const set = setter(model);
  const fixed = (x) => x.toFixed(4).replace(/^-(?=[0.]+$)/, "").replace("-", "−");

  const swap = make("button", "attn-swap", { type: "button" }, "⇄ Other reading");
  swap.addEventListener("click", () => set({ swapped: !state.swapped }));
  const choices = make("span", "attn-choices", { role: "radiogroup", "aria-label": "Number of heads" });
  const box = make("input", "", { type: "checkbox" });
  box.addEventListener("change", () => set({ placed: box.checked }));
  const add = make("label", "", {}, box, "Add positions");
  const reset = button("Reset", () => set(first));
  const controls = make("div", "attn-controls", {}, swap, choices, add, reset);

  const gutter = make("div", "attn-gutter", { "aria-hidden": true });
  const stage = make("div", "attn-stage", { role: "group", "aria-label": "Words; press one to see its output" });
  const places = make("div", "attn-places", { "aria-hidden": true });
  const scene = make("div", "attn-scene", {}, gutter, make("div", "attn-middle", {}, stage, places));
  const title = make("p", "attn-title");
  const table = make("div", "attn-outputs", { role: "table", "aria-label": "Output in both readings" });
  const sentence = make("p", "attn-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "A sentence and its other reading", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-morph", attributes, controls, scene, title, table, sentence, caption);

  const gcd = (a, b) => (b ? gcd(b, a % b) : a);

  function build() {
    labels = distinct(state.tokens);
    const most = gcd(state.W_Q[0].length, state.W_V[0].length);
    const counts = [1, 2, 3, 4, 5, 6, 7, 8].filter((n) => most % n === 0);
    choices.replaceChildren(
      "Heads",
      ...counts.map((n) => {
        const input = make("input", "", { type: "radio", name: group, value: n });
        input.addEventListener("change", () => set({ heads: n }));
        return make("label", "", {}, input, String(n));
      }),
    );
    figure.style.setProperty("--words", labels.length);
    figure.style.setProperty("--heads", counts.at(-1));
    figure.style.setProperty("--numbers", state.W_O[0].length);
    cards = labels.map((label, word_) => {
      const bars = make("span", "attn-weights", { "aria-hidden": true });
      const card = make("button", "attn-card", { type: "button" }, word(state.tokens[word_]), bars);
      card.addEventListener("click", () => set({ selected: word_ }));
      return { card, bars };
    });
    before = undefined;
  }

  // A word that goes right rises on its way and one that goes left sinks, so that two that change places both show.
  function travel(card, from, to) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches || !card.animate) return;
    const at = (place) => `${(100 * place) / labels.length}%`;
    const high = to > from ? "-34px" : "26px";
    const frames = [
      { left: at(from), transform: "none", zIndex: 2 },
      { left: at((from + to) / 2), transform: `translateY(${high})`, zIndex: 2 },
      { left: at(to), transform: "none", zIndex: 2 },
    ];
    card.animate(frames, { duration: 900, easing: "ease-in-out" });
  }

  function draw() {
    const { outputs, weights } = readBoth(state);
    const order = state.swapped ? state.order : labels.map((_, i) => i);
    for (const [name, data] of Object.entries({ outputs, weights, order, heads: state.heads, selected: state.selected })) {
      figure.dataset[name] = JSON.stringify(data);
    }
    figure.dataset.swapped = state.swapped;
    figure.dataset.placed = state.placed;
    for (const input of choices.querySelectorAll("input")) input.checked = Number(input.value) === state.heads;
    box.checked = state.placed;
    add.hidden = !state.positions;
    places.hidden = !state.positions;

    const shown = weights[Number(state.swapped)];
    gutter.replaceChildren("head", ...shown.map((_, n) => make("span", "", {}, String(n + 1))));
    if (String(before) !== String(order)) stage.append(...order.map((one) => cards[one].card));
    order.forEach((one, place) => {
      const { card, bars } = cards[one];
      const from = before?.indexOf(one);
      card.style.left = `${(100 * place) / labels.length}%`;
      if (from !== undefined && from !== place) travel(card, from, place);
      card.setAttribute("aria-pressed", one === state.selected);
      const list = shown.map((row) => row[one].toFixed(2));
      card.setAttribute("aria-label", `${labels[one]}, place ${place + 1}, weights ${list.join(", ")}`);
      bars.replaceChildren(
        ...list.map((text, n) => {
          const bar = make("i", "", {}, make("b"), text);
          bar.firstChild.style.width = `${100 * shown[n][one]}%`;
          return bar;
        }),
      );
    });
    before = order;
    places.classList.toggle("attn-on", state.placed);
    places.replaceChildren(
      ...order.map((_, p) => make("span", "", {}, state.placed ? "+ p" : "place ", state.placed ? make("sub", "", {}, String(p + 1)) : String(p + 1))),
    );

    title.replaceChildren("Output of ", make("strong", "", {}, word(labels[state.selected])), " in each reading:");
    const said = [state.tokens, state.order.map((one) => state.tokens[one])];
    table.replaceChildren(
      ...outputs.map((output, n) => {
        const now = n === Number(state.swapped);
        const head = make("span", "attn-reading", { role: "rowheader" }, now ? "▸ " : "", word(said[n].join(" ")));
        const cells = output.map((x) => make("span", "", { role: "cell" }, fixed(x)));
        return make("div", now ? "attn-line attn-now" : "attn-line", { role: "row" }, head, ...cells);
      }),
    );
    const gap = Math.max(...outputs[0].map((a, c) => Math.abs(a - outputs[1][c])));
    const size = Math.max(1, ...outputs.flat().map(Math.abs));
    const found = gap <= 1e-9 * size ? "is the same in both readings" : `differs by up to ${fixed(gap)} between the readings`;
    const heads = state.heads === 1 ? "1 head" : `${state.heads} heads`;
    const how = state.placed ? "with positions" : "without positions";
    sentence.replaceChildren("“", word(said[Number(state.swapped)].join(" ")), `”, ${heads}, ${how}: the output of `, word(labels[state.selected]), ` ${found}.`);
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Python sets several names at once; until the last has come, they may not fit.
    const lengths = [next.x, next.order, next.positions ?? next.x].map((one) => one.length);
    if (lengths.some((length) => length !== next.tokens.length)) return;
    if (next.placed && !next.positions) return;
    const same = names.every((name) => moved.includes(name) || next[name] === state?.[name]);
    state = next;
    if (!same) {
      stage.replaceChildren();
      build();
    }
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
