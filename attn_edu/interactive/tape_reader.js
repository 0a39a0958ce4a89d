// Tape reader. The word at hand is framed; memories are shaded by their weights.

const TURN = 0.621; // above it, the ink that is legible on a full shade

const percent = (w) => Math.floor(100 * w + 0.5);

function render({ model, el }) {
  const names = ["words", "weights", "reading", "caption"];
  const first = model.get("reading");
  let state, chips;

  const set = (reading) => setter(model)({ reading: clamp(reading, 0, state.words.length - 1) });
  const input = make("input", "", { type: "range", min: 0, step: 1, "aria-label": "word" });
  input.addEventListener("input", () => set(Number(input.value)));
  const label = make("label", "", {}, make("span", "", {}, "word"), input);
  const back = button("Back", () => set(state.reading - 1));
  const next = button("Next", () => set(state.reading + 1));
  const reset = button("Reset", () => set(first));
  const controls = make("div", "attn-controls", {}, back, next, label, reset);
  const text = make("ol", "attn-tr-text");
  const sentence = make("p", "attn-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "Tape reader", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-tr", attributes, controls, text, sentence, caption);

  text.addEventListener("click", ({ target }) => {
    const i = chips.findIndex(({ node }) => node.contains(target));
    if (i >= 0) set(i);
  });

  function build() {
    chips = state.words.map((token) => {
      const share = make("small");
      return { node: make("li", "", {}, make("span", "", {}, word(token)), share), share };
    });
    text.replaceChildren(...chips.map(({ node }) => node));
    input.max = state.words.length - 1;
  }

  function draw() {
    const { words, weights, reading } = state;
    const row = weights[reading];
    const top = Math.max(...row);
    const most = top > 0 ? row.indexOf(top) : null;
    figure.dataset.state = JSON.stringify({ reading });
    figure.dataset.row = JSON.stringify(row.slice(0, reading));
    figure.dataset.most = JSON.stringify(most);
    input.value = reading;
    input.setAttribute("aria-valuetext", `${reading + 1}, ${words[reading]}`);
    back.disabled = reading === 0;
    next.disabled = reading === words.length - 1;
    chips.forEach(({ node, share }, i) => {
      node.className = i === reading ? "attn-tr-now" : i < reading ? "attn-tr-past" : "attn-tr-later";
      node.classList.toggle("attn-tr-most", i === most);
      node.classList.toggle("attn-tr-dark", i < reading && row[i] > TURN);
      node.style.setProperty("--shade", `${i < reading ? 100 * row[i] : 0}%`);
      share.textContent = i === reading ? "reading" : i < reading ? `${percent(row[i])}%` : "later";
      if (i === reading) node.setAttribute("aria-current", "step");
      else node.removeAttribute("aria-current");
    });
    const what = most === null ? ["Nothing on the tape is read."] : ["Most read: “", word(words[most]), `”, word ${most + 1}, with ${percent(top)}%.`];
    sentence.replaceChildren("Reading “", word(words[reading]), `”, word ${reading + 1} of ${words.length}. `, ...what);
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Python sets several names at once; until the last has come, they may not fit.
    if (next.weights.length !== next.words.length || next.reading >= next.words.length) return;
    const same = state && next.words === state.words;
    state = next;
    if (!same) build();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
