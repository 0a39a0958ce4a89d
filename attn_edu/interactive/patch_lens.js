// Attention over an image. Token 0 is the class token; patches follow in reading order. Heads count from 1, 0 is all.

const mean = (heads) => heads[0].map((row, i) => row.map((_, j) => heads.reduce((sum, A) => sum + A[i][j], 0) / heads.length));

// The product of (mean + I)/2 over the layers, the last on the left.
function roll(layers) {
  const steps = layers.map((heads) => mean(heads).map((row, i) => row.map((a, j) => (a + (i === j)) / 2)));
  return steps.reduce((before, step) => step.map((row) => before[0].map((_, j) => dot(row, before.map((r) => r[j])))));
}

function render({ model, el }) {
  const names = ["images", "maps", "labels", "image", "layer", "head", "token", "caption"];
  const moved = ["image", "layer", "head", "token"];
  const first = Object.fromEntries(moved.map((name) => [name, model.get(name)]));
  let state, wide, panels, picks;

  const place = (j) => (j ? `row ${Math.floor((j - 1) / wide) + 1}, column ${((j - 1) % wide) + 1}` : "class token");
  const set = setter(model);

  const controls = make("div", "attn-controls");
  const reset = button("Reset", () => set(first));
  const body = make("div", "attn-body");
  const legend = make("p", "attn-legend", { "aria-hidden": true }, "0", make("i"), "1");
  const note = make("p", "attn-note", {}, "Purple frame: the token that looks. Numbers: hundredths.");
  const sentence = make("p", "attn-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "Attention over an image", "data-lm-suppress-shortcuts": true };
  const foot = make("div", "attn-foot", {}, legend, note);
  const figure = make("figure", "attn-figure attn-lens", attributes, controls, body, foot, sentence, caption);

  // The class token and the patches, each over its own pixels; `tell` makes it a grid for the keyboard.
  function panel(tell) {
    const side = state.images[0].length;
    const cells = Array.from({ length: 1 + wide * wide }, (_, j) => {
      const size = side / wide;
      const pixels = Array.from({ length: j ? size * size : 0 }, () => make("i"));
      const number = make("b");
      const shade = make("span", "attn-shade");
      const sheet = make("span", "attn-sheet", { style: `--size: ${size}` }, ...pixels);
      const node = make("div", j ? "attn-patch" : "attn-class", tell ? { role: "gridcell" } : {}, sheet, shade, number);
      if (!j) sheet.append("class token");
      return { node, pixels, shade, number };
    });
    const nodes = cells.map(({ node }) => node);
    const lines = Array.from({ length: wide }, (_, r) => nodes.slice(1 + r * wide, 1 + (r + 1) * wide));
    const rows = [[nodes[0]], ...lines].map((line) => make("div", "attn-line", tell ? { role: "row" } : {}, ...line));
    const role = tell ? { role: "grid", "aria-label": "The token that looks: arrow keys choose it" } : { role: "img" };
    const grid = make("div", "attn-grid", role, ...rows);
    const title = make("p", "attn-title");
    grid.addEventListener("click", ({ target }) => {
      const j = nodes.findIndex((node) => node.contains(target));
      if (j >= 0) set({ token: j });
    });
    return { node: make("div", "attn-panel", {}, title, grid), title, grid, cells };
  }

  function step(event) {
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [];
    if (down === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const [row, column] = [Math.floor((state.token - 1) / wide) + down, ((state.token - 1) % wide) + right];
    const from = state.token ? 1 + clamp(row, 0, wide - 1) * wide + clamp(column, 0, wide - 1) : down > 0 || right > 0 ? 1 : 0;
    set({ token: state.token && row < 0 ? 0 : from });
    panels[0].cells[state.token].node.focus();
  }

  function build() {
    wide = Math.round(Math.sqrt(state.maps[0][0][0].length - 1));
    figure.style.setProperty("--wide", wide);
    const [layers, heads] = [state.maps[0].length, state.maps[0][0].length];
    const count = (n) => Array.from({ length: n }, (_, i) => String(i + 1));
    picks = {
      image: choice("Image", state.labels.map(word), (n) => set({ image: n })),
      layer: choice("Layer", count(layers), (n) => set({ layer: n + 1 })),
      head: choice("Head", [...count(heads), "mean"], (n) => set({ head: n < heads ? n + 1 : 0 })),
    };
    const shown = Object.entries(picks).map(([name, { node }]) => make("div", "attn-pick", {}, make("span", "", { "aria-hidden": true }, name), node));
    controls.replaceChildren(...shown, reset);
    panels = [panel(true), panel(false)];
    panels[0].grid.addEventListener("keydown", step);
    body.replaceChildren(...panels.map(({ node }) => node));
  }

  function draw() {
    const { images, maps, labels, image, layer, head, token } = state;
    const layers = maps[image];
    const weights = head ? layers[layer - 1][head - 1] : mean(layers[layer - 1]);
    const rollout = roll(layers.slice(0, layer));
    figure.dataset.state = JSON.stringify({ image, layer, head, token });
    figure.dataset.weights = JSON.stringify(weights);
    figure.dataset.rollout = JSON.stringify(rollout);

    picks.image.show(image);
    picks.layer.show(layer - 1);
    picks.head.show(head ? head - 1 : layers[0].length);
    const size = images[0].length / wide;
    [weights[token], rollout[token]].forEach((row, n) => {
      panels[n].cells.forEach(({ node, pixels, shade, number: text }, j) => {
        const [top, left] = [Math.floor((j - 1) / wide) * size, ((j - 1) % wide) * size];
        pixels.forEach((pixel, p) => pixel.style.setProperty("--ink", images[image][top + Math.floor(p / size)][left + (p % size)]));
        shade.style.setProperty("--weight", Math.sqrt(clamp(row[j], 0, 1))); // roots, or small weights would not be seen
        text.textContent = Math.round(100 * row[j]);
        node.classList.toggle("attn-here", j === token);
        if (n) return;
        node.tabIndex = j === token ? 0 : -1;
        node.setAttribute("aria-selected", j === token);
        node.setAttribute("aria-label", `${place(j)}: weight ${number(row[j])}, rollout ${number(rollout[token][j])}`);
      });
    });
    panels[0].title.textContent = `Layer ${layer}, ${head ? `head ${head}` : "mean of heads"}`;
    panels[1].title.textContent = layer > 1 ? `Rollout, layers 1 to ${layer}` : "Rollout, layer 1";
    const list = rollout[token].map((x, j) => `${place(j)} ${number(x)}`).join("; ");
    panels[1].grid.setAttribute("aria-label", `Rollout of ${token ? `the patch at ${place(token)}` : "the class token"}: ${list}`);
    const say = (row) => {
      const order = row.map((_, j) => j).sort((a, b) => row[b] - row[a] || a - b);
      return order.slice(0, 2).map((j) => `${place(j)} (${number(row[j])})`).join(" and ");
    };
    const who = token ? `The patch at ${place(token)}` : "The class token";
    sentence.replaceChildren("Image ", word(labels[image]), `. ${who} looks most at ${say(weights[token])}. Its rollout is largest at ${say(rollout[token])}.`);
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Python sets several names at once; until the last has come, they may not fit.
    const [layers, tokens] = [next.maps[0], next.maps[0][0][0].length];
    if (next.images.length !== next.maps.length || next.labels.length !== next.maps.length) return;
    if (next.image >= next.maps.length || next.layer > layers.length || next.head > layers[0].length || next.token >= tokens) return;
    if (next.images[0].length % Math.round(Math.sqrt(tokens - 1))) return;
    const same = state && ["images", "maps", "labels"].every((name) => next[name] === state[name]);
    state = next;
    if (!same) build();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
